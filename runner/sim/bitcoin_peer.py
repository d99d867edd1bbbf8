"""A simulated Bitcoin node, as a listening peer sees fit to behave: for the demo and for tests, on loopback.

Speaks the v1 transport with struct and hashlib alone and holds the other side to the protocol: what Bitcoin Core
would disconnect for ends the connection here too and is kept in ``violations``. Sources: Bitcoin Core's protocol
documentation, BIP144 (witness), BIP155 (sendaddrv2), BIP339 (wtxidrelay).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from runner.sim.serialize import DecodeError, Reader, Tx, compact_size, sha256d

MAGICS = {
    "mainnet": bytes.fromhex("f9beb4d9"),
    "testnet4": bytes.fromhex("1c163f28"),
    "signet": bytes.fromhex("0a03cf40"),
    "regtest": bytes.fromhex("fabfb5da"),
}
MSG_TX, MSG_WTX, MSG_WITNESS_TX = 1, 5, 0x40000001
_MESSAGE_MAX = 4_000_000
_INV_MAX = 50_000
_INV_BATCH = 1_000  # as many as Bitcoin Core announces at once
_NODE_NETWORK_WITNESS = 1 | 8

Fault = Literal["close_mid_message", "wrong_magic", "wrong_checksum", "oversized", "stall"]
Split = Literal["whole", "random", "bytes"]


class ProtocolViolationError(Exception):
    """The other side did what Bitcoin Core disconnects for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """How one simulated peer behaves.

    protocol: 70016 announces by wtxid, 70015 by txid. trickle_s: mean time between announcements, exponentially
    distributed as in Bitcoin Core, 0 = at once. backlog: a new connection is told of everything since the start, as
    by a peer whose mempool we ask for; a real one tells only of what is new. ping_s: time between its pings.
    fault: done once `fault_after` transactions were served, on the first `fault_times` connections
    (wrong_checksum: to one transaction message). split: how every write is cut up.
    """

    protocol: int = 70016
    trickle_s: float = 0.1
    backlog: bool = False
    ping_s: float = 5.0
    fault: Fault | None = None
    fault_after: int = 10
    fault_times: int = 1
    split: Split = "whole"
    seed: int = 0
    user_agent: str = "/Simulated:1.0.0/"


class Mempool:
    """What the peers of one network know: transactions by txid and wtxid, and what each peer will announce.

    on_served is called once per transaction, when a peer first delivered it whole. The oldest transactions are
    forgotten beyond `capacity` (None: none).
    """

    def __init__(
        self,
        n_peers: int,
        *,
        overlap: float = 0.8,
        seed: int = 0,
        capacity: int | None = 50_000,
        on_served: Callable[[Tx], None] | None = None,
    ) -> None:
        self.feeds: list[list[Tx]] = [[] for _ in range(n_peers)]
        self.by_wtxid: dict[bytes, Tx] = {}
        self.by_txid: dict[bytes, Tx] = {}
        self.added = 0
        self.served: set[bytes] = set()
        self._on_served = on_served
        self._overlap = overlap
        self._capacity = capacity
        self._random = random.Random(seed)

    def add(self, tx: Tx) -> None:
        """A new transaction: one peer announces it for certain, each other with the probability `overlap`."""
        self.by_wtxid[tx.wire_wtxid] = tx
        self.by_txid[tx.wire_txid] = tx
        first = self.added % len(self.feeds)
        for i, feed in enumerate(self.feeds):
            if i == first or self._random.random() < self._overlap:
                feed.append(tx)
        self.added += 1
        if self._capacity is not None and len(self.by_wtxid) > self._capacity:
            oldest = next(iter(self.by_wtxid.values()))
            del self.by_wtxid[oldest.wire_wtxid]
            self.by_txid.pop(oldest.wire_txid, None)

    def mark_served(self, tx: Tx) -> None:
        """A peer delivered tx, correct and whole."""
        key = tx.wire_wtxid
        if key not in self.served:
            self.served.add(key)
            if self._on_served is not None:
                self._on_served(tx)


@dataclass(slots=True)
class PeerCounters:
    """What a simulated peer saw, over all its connections; all only grow."""

    connections: int = 0
    handshakes: int = 0
    announced: int = 0
    requested: int = 0
    served: int = 0
    not_found: int = 0
    pings_answered: int = 0
    pings_received: int = 0
    faults: int = 0
    violations: list[str] = field(default_factory=list)


def frame(magic: bytes, command: str, payload: bytes = b"") -> bytes:
    """A v1 message: magic, command, length, checksum, payload."""
    header = magic + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + sha256d(payload)[:4]
    return header + payload


def version_payload(protocol: int, user_agent: str, *, relay: bool = True) -> bytes:
    """The payload of a version message of a full node with witness."""
    agent = user_agent.encode()
    address = struct.pack("<Q", _NODE_NETWORK_WITNESS) + bytes(10) + b"\xff\xff" + bytes(6)
    return (
        struct.pack("<iQq", protocol, _NODE_NETWORK_WITNESS, int(time.time()))
        + address
        + address
        + struct.pack("<Q", random.getrandbits(64))
        + compact_size(len(agent))
        + agent
        + struct.pack("<i?", 866_342, relay)
    )


class BitcoinPeer:
    """One listening peer; `index` is its place in the mempool's feeds."""

    def __init__(
        self, mempool: Mempool, index: int = 0, settings: PeerSettings | None = None, network: str = "regtest"
    ) -> None:
        self.mempool = mempool
        self.index = index
        self.settings = settings or PeerSettings()
        self.magic = MAGICS[network]
        self.counters = PeerCounters()
        self.port = 0
        self.faults_left = self.settings.fault_times if self.settings.fault else 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._accept, host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stops listening and ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.counters.connections += 1
        try:
            await _Connection(self, reader, writer).run()
        except ProtocolViolationError as error:
            self.counters.violations.append(str(error))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()


class _Connection:
    """One accepted connection, from the version message to its end."""

    def __init__(self, peer: BitcoinPeer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.random = random.Random(f"{peer.settings.seed}:{peer.index}:{peer.counters.connections}")
        self.feed = peer.mempool.feeds[peer.index]
        self.cursor = 0 if peer.settings.backlog else len(self.feed)
        self.announced: set[bytes] = set()
        self.served = 0
        self.by_wtxid = False
        self.relay = True
        self.client_version = 0
        self.verack = False
        self.ping_nonce: bytes | None = None
        self.fault = peer.settings.fault if peer.faults_left else None
        self.write_lock = asyncio.Lock()

    async def run(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        background = [asyncio.create_task(self._announce()), asyncio.create_task(self._ping())]
        try:
            while True:
                command, payload = await self._receive()
                await self._handle(command, payload)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    # ---- framing ----

    async def _receive(self) -> tuple[str, bytes]:
        header = await self.reader.readexactly(24)
        if header[:4] != self.peer.magic:
            raise ProtocolViolationError(f"wrong magic {header[:4].hex()}")
        name = header[4:16].rstrip(b"\0")
        if b"\0" in name or not name.isascii():
            raise ProtocolViolationError(f"malformed command {header[4:16]!r}")
        (length,) = struct.unpack_from("<I", header, 16)
        if length > _MESSAGE_MAX:
            raise ProtocolViolationError(f"{name.decode()} of {length} bytes")
        payload = await self.reader.readexactly(length)
        if sha256d(payload)[:4] != header[20:24]:
            raise ProtocolViolationError(f"{name.decode()}: wrong checksum {header[20:24].hex()}")
        return name.decode(), payload

    async def _send(self, *messages: bytes) -> None:
        data = b"".join(messages)
        async with self.write_lock:
            for piece in self._pieces(data):
                self.writer.write(piece)
                if len(piece) != len(data):
                    await asyncio.sleep(0)
            await self.writer.drain()

    def _pieces(self, data: bytes) -> list[bytes]:
        split = self.peer.settings.split
        if split == "whole":
            return [data]
        if split == "bytes":
            return [data[i : i + 1] for i in range(len(data))]
        pieces = []
        pos = 0
        while pos < len(data):
            size = self.random.choice((1, 3, 23, 24, 25, self.random.randint(1, 1500)))
            pieces.append(data[pos : pos + size])
            pos += size
        return pieces

    def _frame(self, command: str, payload: bytes = b"") -> bytes:
        return frame(self.peer.magic, command, payload)

    # ---- messages ----

    async def _handle(self, command: str, payload: bytes) -> None:
        if command == "version":
            await self._on_version(payload)
            return
        if not self.client_version:
            raise ProtocolViolationError(f"{command} before version")
        if command in {"wtxidrelay", "sendaddrv2"}:
            if self.verack:
                raise ProtocolViolationError(f"{command} after verack")
            if command == "wtxidrelay" and self.peer.settings.protocol >= 70016:
                self.by_wtxid = True
        elif command == "verack":
            if not self.verack:
                self.verack = True
                self.peer.counters.handshakes += 1
                await self._send(self._frame("feefilter", struct.pack("<q", 100)))
        elif command == "ping":
            self.peer.counters.pings_received += 1
            await self._send(self._frame("pong", payload))
        elif command == "pong":
            if payload == self.ping_nonce:
                self.peer.counters.pings_answered += 1
                self.ping_nonce = None
        elif command == "getdata":
            await self._on_getdata(payload)
        elif command in {"mempool", "filterload"}:
            raise ProtocolViolationError(f"{command} to a peer without NODE_BLOOM")

    async def _on_version(self, payload: bytes) -> None:
        if self.client_version:
            raise ProtocolViolationError("a second version message")
        try:
            reader = Reader(payload)
            (version,) = struct.unpack("<i", reader.take(4, "version"))
            reader.take(8 + 8 + 26 + 26 + 8, "version")
            reader.var_bytes("user agent")
            reader.take(4, "start height")
            self.relay = reader.pos == len(payload) or reader.take(1, "relay") != b"\0"
        except DecodeError as error:
            raise ProtocolViolationError(f"malformed version: {error}") from None
        if version < 31800:
            raise ProtocolViolationError(f"obsolete version {version}")
        self.client_version = version
        settings = self.peer.settings
        messages = [self._frame("version", version_payload(settings.protocol, settings.user_agent))]
        if min(version, settings.protocol) >= 70016:
            messages += [self._frame("wtxidrelay"), self._frame("sendaddrv2")]
        await self._send(*messages, self._frame("verack"))

    async def _on_getdata(self, payload: bytes) -> None:
        try:
            reader = Reader(payload)
            count = reader.compact_size("getdata count")
            if count > _INV_MAX:
                raise ProtocolViolationError(f"getdata of {count} entries")
            entries = [(reader.u32("type"), reader.take(32, "hash")) for _ in range(count)]
        except DecodeError as error:
            raise ProtocolViolationError(f"malformed getdata: {error}") from None
        if reader.pos != len(payload):
            raise ProtocolViolationError("bytes behind a getdata")
        missing = []
        for kind, key in entries:
            self.peer.counters.requested += 1
            tx = self._find(kind, key)
            if tx is None:
                missing.append(struct.pack("<I", kind) + key)
            else:
                await self._serve(tx, tx.stripped if kind == MSG_TX else tx.raw)
        if missing:
            self.peer.counters.not_found += len(missing)
            await self._send(self._frame("notfound", compact_size(len(missing)) + b"".join(missing)))

    def _find(self, kind: int, key: bytes) -> Tx | None:
        """Only what this connection was told of is served, as Bitcoin Core does it."""
        if kind == MSG_WTX:
            tx = self.peer.mempool.by_wtxid.get(key)
        elif kind in {MSG_TX, MSG_WITNESS_TX}:
            tx = self.peer.mempool.by_txid.get(key)
        else:
            raise ProtocolViolationError(f"getdata of type {kind:#x}")
        return tx if tx is not None and tx.wire_wtxid in self.announced else None

    async def _serve(self, tx: Tx, data: bytes) -> None:
        message = self._frame("tx", data)
        if self.fault is not None and self.served >= self.peer.settings.fault_after:
            await self._do_fault(message)
            return
        self.served += 1
        self.peer.counters.served += 1
        if data is tx.raw:
            self.peer.mempool.mark_served(tx)
        await self._send(message)

    async def _do_fault(self, message: bytes) -> None:
        fault, self.fault = self.fault, None
        self.peer.faults_left -= 1
        self.peer.counters.faults += 1
        if fault == "wrong_checksum":
            await self._send(message[:20] + bytes(b ^ 0xFF for b in message[20:24]) + message[24:])
        elif fault == "wrong_magic":
            await self._send(b"\x00\x11\x22\x33" + message[4:])
        elif fault == "oversized":
            await self._send(message[:16] + struct.pack("<I", _MESSAGE_MAX + 1) + message[20:])
        elif fault == "close_mid_message":
            await self._send(message[: len(message) // 2])
            raise ConnectionAbortedError("fault: closed in the middle of a message")
        else:  # stall: the socket stays open and nothing is read or written any more
            async with self.write_lock:
                await asyncio.Event().wait()

    # ---- what the peer does by itself ----

    async def _announce(self) -> None:
        trickle = self.peer.settings.trickle_s
        while True:
            await asyncio.sleep(self.random.expovariate(1 / trickle) if trickle else 0.001)
            if not (self.verack and self.relay):
                continue
            while self.cursor < len(self.feed):
                batch = self.feed[self.cursor : self.cursor + _INV_BATCH]
                self.cursor += len(batch)
                await self._send_inv(batch)

    async def _send_inv(self, batch: list[Tx]) -> None:
        kind = struct.pack("<I", MSG_WTX if self.by_wtxid else MSG_TX)
        entries = [kind + (tx.wire_wtxid if self.by_wtxid else tx.wire_txid) for tx in batch]
        self.announced.update(tx.wire_wtxid for tx in batch)
        self.peer.counters.announced += len(batch)
        await self._send(self._frame("inv", compact_size(len(batch)) + b"".join(entries)))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self.peer.settings.ping_s)
            if self.verack:
                self.ping_nonce = self.random.randbytes(8)
                with contextlib.suppress(ConnectionError):
                    await self._send(self._frame("ping", self.ping_nonce))
