"""The simulated peer, driven by a blocking socket and python-bitcoinlib's messages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from io import BytesIO
from typing import Any, TypeVar

import bitcoin
import pytest
from bitcoin import messages
from bitcoin.core import CTransaction, Hash, b2lx
from bitcoin.net import CInv

from runner.sim.bitcoin_peer import MSG_TX, MSG_WITNESS_TX, MSG_WTX, BitcoinPeer, Mempool, PeerSettings
from runner.sim.serialize import Tx
from runner.sim.traffic import Generator, demo_watch_list

T = TypeVar("T")
MAGIC = bytes.fromhex("fabfb5da")


class Loop:
    """An event loop on a thread of its own, so that the client can be a plain blocking socket."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def transactions() -> list[Tx]:
    generator = Generator(seed=3, watched=demo_watch_list())
    return [generator.make() for _ in range(40)]


class Client:
    """A node's view of the wire: frames by hand, payloads by python-bitcoinlib where it knows them."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.pending: list[tuple[str, bytes]] = []

    def send(self, command: str, payload: bytes = b"", checksum: bytes | None = None) -> None:
        checksum = Hash(payload)[:4] if checksum is None else checksum
        self.sock.sendall(
            MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload
        )

    def receive(self) -> tuple[str, bytes]:
        header = self._exactly(24)
        assert header[:4] == MAGIC
        payload = self._exactly(struct.unpack_from("<I", header, 16)[0])
        assert Hash(payload)[:4] == header[20:24]
        return header[4:16].rstrip(b"\0").decode(), payload

    def expect(self, command: str) -> bytes:
        """The next message of that name; pings and feefilter in between are skipped."""
        while True:
            name, payload = self.receive()
            if name == command:
                return payload
            assert name in {"ping", "feefilter"}, name

    def _exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            chunk = self.sock.recv(n - len(data))
            if not chunk:
                raise EOFError(f"closed after {len(data)} of {n} bytes")
            data += chunk
        return data

    def handshake(self, version: int = 70016, relay: bool = True) -> list[str]:
        bitcoin.SelectParams("regtest")
        message = messages.msg_version(version)
        message.fRelay = relay
        self.send("version", message.to_bytes()[24:])
        names = []
        while "verack" not in names:
            name, payload = self.receive()
            names.append(name)
            if name == "version":
                theirs = messages.msg_version.msg_deser(BytesIO(payload))
                assert theirs.strSubVer == b"/Simulated:1.0.0/"
                assert theirs.nServices & 8
        for name in names[1:]:
            self.send(name)
        return names

    def inv(self) -> list[tuple[int, bytes]]:
        payload = self.expect("inv")
        entries = messages.msg_inv.msg_deser(BytesIO(payload)).inv
        return [(entry.type, entry.hash) for entry in entries]

    def getdata(self, entries: list[tuple[int, bytes]]) -> None:
        message = messages.msg_getdata()
        message.inv = []
        for kind, key in entries:
            entry = CInv()
            entry.type, entry.hash = kind, key
            message.inv.append(entry)
        self.send("getdata", message.to_bytes()[24:])


class Rig:
    """One peer, listening, and a client connected to it."""

    def __init__(self, loop: Loop, **settings: Any) -> None:
        self.loop = loop
        self.served: list[Tx] = []
        self.mempool = Mempool(1, on_served=self.served.append)
        self.peer = BitcoinPeer(self.mempool, settings=PeerSettings(trickle_s=0, **settings))
        self.client = Client(loop.run(self.peer.start()))

    def add(self, transactions: list[Tx]) -> None:
        async def work() -> None:
            for tx in transactions:
                self.mempool.add(tx)

        self.loop.run(work())

    def closed_for(self) -> str:
        """Waits until the peer hung up; the reason it noted."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self.client.receive()
        return self.peer.counters.violations[-1]

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.sock.close()
        self.loop.run(self.peer.stop())


def collect_inv(client: Client, n: int) -> list[tuple[int, bytes]]:
    entries: list[tuple[int, bytes]] = []
    while len(entries) < n:
        entries += client.inv()
    return entries


@pytest.mark.parametrize("split", ["whole", "random", "bytes"])
def test_wtxid_peer_announces_and_serves(loop: Loop, transactions: list[Tx], split: str) -> None:
    with Rig(loop, split=split) as rig:
        assert rig.client.handshake() == ["version", "wtxidrelay", "sendaddrv2", "verack"]
        rig.client.send("ping", b"12345678")
        assert rig.client.expect("pong") == b"12345678"
        rig.add(transactions)
        entries = collect_inv(rig.client, len(transactions))
        assert entries == [(MSG_WTX, tx.wire_wtxid) for tx in transactions]
        rig.client.getdata(entries)
        for tx in transactions:
            payload = rig.client.expect("tx")
            assert payload == tx.raw
            assert b2lx(CTransaction.deserialize(payload).GetTxid()) == tx.txid
        assert rig.served == transactions
        assert rig.peer.counters.violations == []


@pytest.mark.parametrize(("protocol", "ours"), [(70015, 70016), (70016, 70015)])
def test_txid_peer_announces_txids_and_strips_the_witness_unless_asked(
    loop: Loop, transactions: list[Tx], protocol: int, ours: int
) -> None:
    tx = next(tx for tx in transactions if tx.txid != tx.wtxid)
    with Rig(loop, protocol=protocol) as rig:
        assert rig.client.handshake(ours) == ["version", "verack"]
        rig.add([tx])
        assert collect_inv(rig.client, 1) == [(MSG_TX, tx.wire_txid)]
        rig.client.getdata([(MSG_TX, tx.wire_txid), (MSG_WITNESS_TX, tx.wire_txid)])
        assert rig.client.expect("tx") == tx.stripped
        assert rig.client.expect("tx") == tx.raw


def test_unknown_and_unannounced_transactions_are_not_found(loop: Loop, transactions: list[Tx]) -> None:
    with Rig(loop) as rig:
        rig.client.handshake(relay=False)  # nothing is announced, so nothing is served
        rig.add(transactions[:1])
        asked = [(MSG_WTX, tx.wire_wtxid) for tx in transactions[:2]]
        rig.client.getdata(asked)
        entries = b"".join(struct.pack("<I", kind) + key for kind, key in asked)
        assert rig.client.expect("notfound") == b"\x02" + entries


def test_relay_off_means_silence(loop: Loop, transactions: list[Tx]) -> None:
    with Rig(loop) as rig:
        rig.client.handshake(relay=False)
        rig.add(transactions)
        rig.client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            rig.client.expect("inv")


def test_peer_pings(loop: Loop) -> None:
    with Rig(loop, ping_s=0.05) as rig:
        rig.client.handshake()
        nonce = rig.client.expect("ping")
        rig.client.send("pong", bytes(8) if nonce != bytes(8) else b"1" * 8)
        rig.client.send("pong", nonce)
        rig.client.expect("ping")
        assert rig.peer.counters.pings_answered == 1


@pytest.mark.parametrize(
    ("breach", "reason"),
    [
        (lambda c: c.send("ping", b"12345678", b"\0\0\0\0"), "ping: wrong checksum"),
        (lambda c: c.send("wtxidrelay"), "wtxidrelay after verack"),
        (lambda c: c.send("mempool"), "mempool"),
        (lambda c: c.sock.sendall(bytes(24)), "wrong magic"),
        (lambda c: c.sock.sendall(MAGIC + b"tx".ljust(12, b"\0") + b"\xff" * 8), "bytes"),
        (lambda c: c.send("getdata", struct.pack("<I", 1) + bytes(36)), "getdata"),  # a u32 for the count
        (lambda c: c.getdata([(2, bytes(32))]), "getdata of type 0x2"),
    ],
)
def test_what_core_disconnects_for_ends_the_connection(loop: Loop, breach: Any, reason: str) -> None:
    with Rig(loop) as rig:
        rig.client.handshake()
        breach(rig.client)
        assert reason in rig.closed_for()


def test_messages_before_version_are_refused(loop: Loop) -> None:
    with Rig(loop) as rig:
        rig.client.send("verack")
        assert rig.closed_for() == "verack before version"


def fault_rig(loop: Loop, transactions: list[Tx], fault: str) -> Rig:
    rig = Rig(loop, fault=fault, fault_after=1)
    rig.client.handshake()
    rig.add(transactions[:3])
    rig.client.getdata(collect_inv(rig.client, 3))
    assert rig.client.expect("tx") == transactions[0].raw
    return rig


def test_fault_close_mid_message(loop: Loop, transactions: list[Tx]) -> None:
    with fault_rig(loop, transactions, "close_mid_message") as rig:
        with pytest.raises(EOFError, match=r"closed after [1-9]"):
            rig.client.expect("tx")
        assert rig.served == transactions[:1]


def test_fault_wrong_checksum_keeps_the_connection(loop: Loop, transactions: list[Tx]) -> None:
    with fault_rig(loop, transactions, "wrong_checksum") as rig:
        with pytest.raises(AssertionError):
            rig.client.expect("tx")
        assert rig.client.expect("tx") == transactions[2].raw
        assert rig.served == [transactions[0], transactions[2]]


@pytest.mark.parametrize(("fault", "header"), [("wrong_magic", b"\x00\x11\x22\x33"), ("oversized", MAGIC)])
def test_fault_bad_header(loop: Loop, transactions: list[Tx], fault: str, header: bytes) -> None:
    with fault_rig(loop, transactions, fault) as rig:
        data = rig.client._exactly(24)
        assert data[:4] == header
        assert (struct.unpack_from("<I", data, 16)[0] > 4_000_000) == (fault == "oversized")


def test_fault_stall(loop: Loop, transactions: list[Tx]) -> None:
    with fault_rig(loop, transactions, "stall") as rig:
        rig.client.send("ping", b"12345678")
        rig.client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            rig.client.receive()


def test_backlog_and_overlap(loop: Loop, transactions: list[Tx]) -> None:
    mempool = Mempool(3, overlap=0.5, seed=1)
    for tx in transactions:
        mempool.add(tx)
    sizes = [len(feed) for feed in mempool.feeds]
    assert {tx.txid for feed in mempool.feeds for tx in feed} == {tx.txid for tx in transactions}
    assert len(transactions) < sum(sizes) < 3 * len(transactions)
    with Rig(loop, backlog=True) as rig:
        rig.add(transactions)
        rig.client.handshake()
        assert len(collect_inv(rig.client, len(transactions))) == len(transactions)


def test_mempool_forgets_the_oldest(transactions: list[Tx]) -> None:
    mempool = Mempool(1, capacity=5)
    for tx in transactions:
        mempool.add(tx)
    assert list(mempool.by_wtxid) == [tx.wire_wtxid for tx in transactions[-5:]]
    assert list(mempool.by_txid) == [tx.wire_txid for tx in transactions[-5:]]
