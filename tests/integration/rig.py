"""What the engine's tests play: the other side of its sockets, in straight lines, one step of the protocol at a time.

The engine runs in its own thread and connects by itself, so a test simply accepts, receives and sends on blocking
sockets. Nothing here comes from hftcore: messages are packed with struct and hashed with hashlib, TLS is the `ssl`
module's, and WebSocket frames are read and built by `websockets`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hftcore import Engine, EngineLimits, RiskLimits, Rule, WatchTable
from hftcore.bitcoin import NETWORKS
from hftcore.events import Event, OrderEvent
from hftcore.venues import Credentials, Order, Venue
from hftcore.venues.binance import BINANCE
from runner.sim.certificates import Authority

MAGIC = NETWORKS["regtest"].magic
WAIT_S = 10.0  # for what must come; only a failure takes so long
BACKENDS = ["io_uring", "epoll"]
KEY, SECRET = "test-key", b"test-secret"
CREDENTIALS = Credentials(KEY, SECRET)
MSG_TX, MSG_WTX, MSG_WITNESS_TX = 1, 5, 0x40000001
# Times short enough to be waited for, long enough for a loaded machine.
FAST = {"backoff_min_ms": 10, "backoff_max_ms": 50, "request_timeout_ms": 400, "order_timeout_ms": 400}
# What an order may still become is decided after 0.4 s, not 15 s.
FAST_BINANCE = dataclasses.replace(BINANCE, placement_max_ms=400)
WIDE_RISK = RiskLimits(burst=1024, refill_ms=1, window_s=3600, window_orders=1024, window_notional="9999999999")


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(n: int) -> bytes:
    if n < 0xFD:
        return bytes([n])
    return b"\xfd" + struct.pack("<H", n) if n <= 0xFFFF else b"\xfe" + struct.pack("<I", n)


# ---- transactions ----


@dataclass(frozen=True)
class Tx:
    """A transaction's bytes and names (wire order)."""

    raw: bytes
    txid: bytes
    wtxid: bytes

    @property
    def id(self) -> str:
        return self.txid[::-1].hex()

    def announced(self, *, by_wtxid: bool) -> bytes:
        return self.wtxid if by_wtxid else self.txid


@dataclass(frozen=True)
class Coin:
    """An output to be spent, 32 bytes of txid and 4 of index, and what unlocks it."""

    outpoint: bytes
    script_sig: bytes = b""
    witness: tuple[bytes, ...] = ()


def spend(coins: Sequence[Coin], outputs: Sequence[tuple[int, bytes]]) -> Tx:
    """A transaction of these coins, with witness data if one of them has any."""
    ins = b"".join(c.outpoint + compact_size(len(c.script_sig)) + c.script_sig + b"\xfd\xff\xff\xff" for c in coins)
    outs = b"".join(struct.pack("<Q", value) + compact_size(len(script)) + script for value, script in outputs)
    body = compact_size(len(coins)) + ins + compact_size(len(outputs)) + outs
    stripped = struct.pack("<i", 2) + body + struct.pack("<I", 0)
    if not any(c.witness for c in coins):
        return Tx(stripped, sha256d(stripped), sha256d(stripped))
    stacks = (compact_size(len(c.witness)) + b"".join(compact_size(len(i)) + i for i in c.witness) for c in coins)
    raw = struct.pack("<i", 2) + b"\0\1" + body + b"".join(stacks) + struct.pack("<I", 0)
    return Tx(raw, sha256d(stripped), sha256d(raw))


def make_tx(outputs: Sequence[tuple[int, bytes]], *, seed: int = 0, witness: bytes | None = b"\x01" * 64) -> Tx:
    """One input and these (satoshi, script) outputs; seed makes it unique, witness None makes it a legacy one."""
    coin = Coin(struct.pack("<QQQQI", seed, 1, 2, 3, 0), witness=() if witness is None else (witness,))
    return spend([coin], outputs)


def script(n: int) -> bytes:
    """A P2WPKH script, one for each n."""
    return b"\x00\x14" + hashlib.sha256(b"watched %d" % n).digest()[:20]


WATCHED = script(0)
COIN = 100_000_000


def deposit(seed: int, amount_sat: int = 2 * COIN, to: bytes = WATCHED) -> Tx:
    """A payment to a watched script, with change elsewhere."""
    return make_tx([(12_345, script(999)), (amount_sat, to)], seed=seed)


def watch_table(*labels: str) -> WatchTable:
    """Script n under the n-th label."""
    table = WatchTable(64)
    for i, label in enumerate(labels or ("acme",)):
        table.add(script(i), label)
    return table


# ---- Bitcoin ----


def message(command: str, payload: bytes = b"", *, magic: bytes = MAGIC, checksum: bytes | None = None) -> bytes:
    return (
        magic
        + command.encode().ljust(12, b"\0")
        + struct.pack("<I", len(payload))
        + (sha256d(payload)[:4] if checksum is None else checksum)
        + payload
    )


def inv_payload(kind: int, hashes: Sequence[bytes]) -> bytes:
    return compact_size(len(hashes)) + b"".join(struct.pack("<I", kind) + h for h in hashes)


class Listener:
    """A listening socket on loopback. backlog of connections that nobody accepts: what a silent server looks like."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sock.settimeout(WAIT_S)
        self.port: int = self.sock.getsockname()[1]

    def accept_socket(self) -> socket.socket:
        sock, _ = self.sock.accept()
        sock.settimeout(WAIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def reset(sock: socket.socket) -> None:
    """Ends a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw = sock.detach()
    socket.socket(fileno=raw).close() if raw >= 0 else None


class PeerLink:
    """One accepted connection of a Bitcoin peer that the test plays."""

    magic = MAGIC

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.version_payload = b""
        self.by_wtxid = False

    def _exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError("the engine closed the connection")
            data += piece
        return data

    def receive(self) -> tuple[str, bytes]:
        """The next message; its magic and checksum must be right."""
        header = self._exactly(24)
        assert header[:4] == self.magic
        payload = self._exactly(struct.unpack_from("<I", header, 16)[0])
        assert header[20:] == sha256d(payload)[:4]
        return header[4:16].rstrip(b"\0").decode(), payload

    def expect(self, command: str) -> bytes:
        """The next message that is not a ping must be this one."""
        while (got := self.receive())[0] == "ping" and command != "ping":
            self.send("pong", got[1])
        assert got[0] == command
        return got[1]

    def send(self, command: str, payload: bytes = b"") -> None:
        self.sock.sendall(message(command, payload, magic=self.magic))

    @staticmethod
    def version(protocol: int = 70016, services: int = 9, nonce: bytes = b"peernonc") -> bytes:
        addresses, agent = bytes(52), b"/Test:1/"
        return (
            struct.pack("<iQq", protocol, services, int(time.time())) + addresses + nonce
            + compact_size(len(agent)) + agent + struct.pack("<i?", 1, True)
        )  # fmt: skip

    def handshake(self, protocol: int = 70016, services: int = 9) -> Self:
        """Through version and verack, in the order of Bitcoin Core."""
        self.version_payload = self.expect("version")
        self.send("version", self.version(protocol, services))
        self.by_wtxid = protocol >= 70016
        if self.by_wtxid:
            self.send("wtxidrelay")
            self.send("sendaddrv2")
            assert self.expect("wtxidrelay") == b""
            assert self.expect("sendaddrv2") == b""
        assert self.expect("verack") == b""
        self.send("verack")
        self.send("pong", self.expect("ping"))
        return self

    def announce(self, *txs: Tx) -> None:
        kind = MSG_WTX if self.by_wtxid else MSG_TX
        self.send("inv", inv_payload(kind, [tx.announced(by_wtxid=self.by_wtxid) for tx in txs]))

    def requested(self) -> list[bytes]:
        """The hashes of the next getdata."""
        payload = self.expect("getdata")
        count, pos = payload[0], 1
        if count == 0xFD:
            count, pos = struct.unpack_from("<H", payload, 1)[0], 3
        assert len(payload) == pos + 36 * count
        entries = [struct.unpack_from("<I32s", payload, pos + 36 * i) for i in range(count)]
        assert {kind for kind, _ in entries} == {MSG_WTX if self.by_wtxid else MSG_WITNESS_TX}
        return [key for _, key in entries]

    def deliver(self, tx: Tx) -> None:
        """Announces a transaction and sends it when asked."""
        self.announce(tx)
        assert self.requested() == [tx.announced(by_wtxid=self.by_wtxid)]
        self.send("tx", tx.raw)

    def settle(self) -> None:
        """Returns once the engine has dealt with all that was sent: it answers in order."""
        self.send("ping", b"settled!")
        assert self.expect("pong") == b"settled!"

    def wait_closed(self) -> None:
        """The engine must close this connection; what it still sends is read."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                pass
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class PeerListener(Listener):
    """Where the engine finds a peer."""

    def accept(self) -> PeerLink:
        return PeerLink(self.accept_socket())


# ---- venues ----


class VenueLink:
    """One accepted connection of an exchange that the test plays: TLS by `ssl`, frames by `websockets`."""

    def __init__(self, sock: socket.socket, max_size: int | None = None) -> None:
        self.sock = sock
        self.protocol = ServerProtocol(max_size=max_size)
        self.request: Request | None = None
        self._events: list[Any] = []

    def _pump(self) -> None:
        data = self.sock.recv(65536)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        self._events += self.protocol.events_received()
        self.flush()

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.sock.sendall(data)

    def receive_request(self) -> Request:
        """The HTTP request of the upgrade."""
        while not self._events:
            self._pump()
        request = self._events.pop(0)
        assert isinstance(request, Request)
        self.request = request
        return request

    def upgrade(self) -> Self:
        self.protocol.send_response(self.protocol.accept(self.receive_request()))
        self.flush()
        return self

    def frame(self) -> Frame:
        """The next frame from the engine; ConnectionError at the end of the connection."""
        while not self._events:
            if self.protocol.state.name == "CLOSED" or self.protocol.eof_sent:
                raise ConnectionError("the engine closed the connection")
            self._pump()
        event = self._events.pop(0)
        assert isinstance(event, Frame)
        return event

    def receive(self) -> dict[str, Any]:
        """The next JSON request, whatever control frames come before."""
        while (frame := self.frame()).opcode is not Opcode.TEXT:
            assert frame.opcode in {Opcode.PING, Opcode.PONG}, f"{frame}"
        value: dict[str, Any] = json.loads(bytes(frame.data))
        return value

    def send(self, value: Any) -> None:
        self.send_text(json.dumps(value, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        self.protocol.send_text(text.encode())
        self.flush()

    def reply(self, request: dict[str, Any], result: Any, **more: Any) -> None:
        self.send({"id": request["id"], "status": 200, "result": result, **more})

    def refuse(self, request: dict[str, Any], code: int, text: str, status: int = 400, **data: Any) -> None:
        self.send({"id": request["id"], "status": status, "error": {"code": code, "msg": text, "data": data}})

    def expect(self, method: str) -> dict[str, Any]:
        """The next request, with requests for the time answered, must be of this method."""
        while (request := self.receive())["method"] == "time" and method != "time":
            self.reply(request, {"serverTime": time.time_ns() // 1_000_000})
        assert request["method"] == method, request
        return request

    def login(self) -> Self:
        """Through the upgrade, the clock and the subscription."""
        self.upgrade()
        self.reply(self.expect("userDataStream.subscribe.signature"), {"subscriptionId": 0})
        return self

    def expect_order(self) -> dict[str, Any]:
        return self.expect("order.place")

    def acknowledge(self, request: dict[str, Any], order_id: int = 77) -> None:
        client_id = request["params"]["newClientOrderId"]
        self.reply(request, {"symbol": "BTCUSDT", "orderId": order_id, "clientOrderId": client_id})

    def report(self, client_id: str, status: str, filled: str = "0.00000000", order_id: int = 77, **more: Any) -> None:
        """An executionReport."""
        event = {"e": "executionReport", "c": client_id, "C": "", "X": status, "i": order_id, "z": filled, **more}
        self.send({"subscriptionId": 0, "event": event})

    def wait_closed(self) -> Close | None:
        """Reads until the engine ends the connection, with close_notify; returns the close frame it sent."""
        with contextlib.suppress(ConnectionError):
            while self.sock.fileno() >= 0 and not self.protocol.eof_sent:
                data = self.sock.recv(65536)
                if not data:
                    self.protocol.receive_eof()
                    break
                self.protocol.receive_data(data)
        self.sock.close()
        return self.protocol.close_rcvd

    def close(self) -> None:
        self.sock.close()


class VenueListener(Listener):
    """Where the engine finds an exchange. context None: plain TCP."""

    def __init__(self, context: ssl.SSLContext | None, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self.context = context

    def url(self, host: str = "localhost") -> str:
        return f"{'wss' if self.context else 'ws'}://{host}:{self.port}/ws-api/v3"

    def accept(self, max_size: int | None = None) -> VenueLink:
        sock = self.accept_socket()
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False)
        return VenueLink(sock, max_size)


# ---- engines ----


class HasUrl(Protocol):
    """A venue of any make."""

    def url(self, host: str = "localhost") -> str: ...


class Trust:
    """A certificate authority, its PEM file, and a server context."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self.authority.pem)
        self.context = self.authority.server_context()


ORDER = Order(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.01", notional="600")


def rule(name: str = "deposit", **changes: Any) -> Rule:
    settings: dict[str, Any] = {"venue": "binance", "order": ORDER, "min_sat": COIN, **changes}
    return Rule(name=name, **settings)


def engine_for(
    *,
    peers: Sequence[Listener] = (),
    venue: HasUrl | None = None,
    ca_file: Path | None = None,
    rules: Sequence[Rule] = (),
    limits: dict[str, int] | None = None,
    venue_data: Venue = FAST_BINANCE,
    credentials: Credentials | None = CREDENTIALS,
    host: str = "localhost",
    **settings: Any,
) -> Engine:
    """An Engine that is set up but not started."""
    settings.setdefault("watch", watch_table())
    settings.setdefault("dry_run", False)
    settings.setdefault("risk", WIDE_RISK)
    engine = Engine(network="regtest", limits=EngineLimits(**{**FAST, **(limits or {})}), **settings)
    for listener in peers:
        engine.add_peer(listener.sock.getsockname()[0], listener.port)
    if venue is not None:
        engine.add_venue(
            venue_data, credentials, url=venue.url(host), ca_file=str(ca_file) if ca_file is not None else None
        )
    for item in rules:
        engine.add_rule(item)
    return engine


def wait_for(engine: Engine, wanted: Callable[[Event], bool], timeout_s: float = WAIT_S) -> Event:
    """Reads events up to the first wanted one."""
    seen = []
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        event = engine.next_event(left)
        if event is None:
            break
        if wanted(event):
            return event
        seen.append(event)
    pytest.fail("the event did not come; seen: " + "\n".join(map(repr, seen)))


def wait_order(engine: Engine, state: str) -> OrderEvent:
    """The next order event, which must be of this state."""
    event = wait_for(engine, lambda e: isinstance(e, OrderEvent))
    assert isinstance(event, OrderEvent)
    assert event.state == state, event
    return event


def wait_until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """For what no event tells: looks every millisecond."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.001)


def open_fds() -> set[str]:
    """This process's open descriptors and what they are."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    return found
