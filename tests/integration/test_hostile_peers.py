"""Peers that mean harm: what they send costs them their connection, and nobody else anything."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time

import pytest

from hftcore import Engine
from hftcore.events import DepositEvent
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import PeerLink, message

FULL_COUNT = b"\xff" * 9  # 2^64 - 1
TX = rig.deposit(1)
V1_ENTRY = struct.pack("<IQ", 1, 9) + b"\0" * 10 + b"\xff\xff\1\2\3\4" + b"\x20\x8d"
V2_ENTRY = struct.pack("<I", 1) + b"\x09\x01\x04\1\2\3\4\x20\x8d"
# A payload of each message that is read.
PAYLOADS: dict[str, bytes] = {
    "inv": rig.inv_payload(rig.MSG_WTX, [TX.wtxid]),
    "notfound": rig.inv_payload(rig.MSG_WTX, [TX.wtxid]),
    "ping": b"12345678",
    "feefilter": b"12345678",
    "addr": b"\x02" + V1_ENTRY * 2,
    "addrv2": b"\x02" + V2_ENTRY * 2,
    "tx": TX.raw,
}


def rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def with_honest(stage: Stage, **settings: object) -> tuple[Engine, PeerLink, PeerLink]:
    """An engine between a peer that will misbehave (number 0) and an honest one."""
    listener = stage.later(rig.PeerListener())
    limits = {"backoff_min_ms": 1, "backoff_max_ms": 2}
    engine = stage.engine(peers=[stage.peer_listener, listener], limits=limits, **settings)
    engine.start()
    links = stage.accept_peer().handshake(), stage.later(listener.accept().handshake())
    engine.wait_ready(rig.WAIT_S)
    return engine, *links


def expect_deposit(engine: Engine, link: PeerLink, tx: rig.Tx) -> None:
    link.deliver(tx)
    event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    assert isinstance(event, DepositEvent)
    assert event.txid == tx.id


def is_closed(link: PeerLink) -> bool:
    """Whether the engine ended the connection for what was sent last."""
    try:
        link.send("ping", b"still on")
        while link.receive() != ("pong", b"still on"):
            pass
    except OSError:
        return True
    return False


@pytest.mark.parametrize("command", PAYLOADS)
def test_truncated_at_every_byte(stage: Stage, command: str) -> None:
    """Under a right checksum, so that what reads the payload has to notice."""
    engine, bad, honest = with_honest(stage)
    payload = PAYLOADS[command]
    for size in range(len(payload)):
        bad.send(command, payload[:size])
        assert is_closed(bad)
        bad.close()
        bad = stage.accept_peer().handshake()
    bad.send(command, payload)
    assert not is_closed(bad)
    expect_deposit(engine, honest, rig.deposit(2))


def test_version_truncated_at_every_byte(stage: Stage) -> None:
    engine, bad, honest = with_honest(stage)
    whole = PeerLink.version()
    for size in range(len(whole) - 1):  # without the relay flag, its last byte, it is an old but good one
        bad.close()
        bad = stage.accept_peer()
        bad.expect("version")
        bad.send("version", whole[:size])
        bad.wait_closed()
    expect_deposit(engine, honest, rig.deposit(2))


def tx_with(inputs: bytes = b"\x01", script: bytes = b"\0", outputs: bytes = b"\x01", out: bytes = b"\0") -> bytes:
    one_input = bytes(36) + script + bytes(4)
    return b"\2\0\0\0" + inputs + one_input + outputs + bytes(8) + out + bytes(4)


COUNTS: dict[str, tuple[str, bytes]] = {
    "inv": ("inv", FULL_COUNT),
    "notfound": ("notfound", FULL_COUNT),
    "addr": ("addr", FULL_COUNT),
    "addrv2": ("addrv2", FULL_COUNT),
    "addrv2 address": ("addrv2", b"\x01" + struct.pack("<I", 1) + b"\x09\x01" + FULL_COUNT),
    "user agent": ("version", PeerLink.version()[:80] + FULL_COUNT),
    "tx inputs": ("tx", tx_with(inputs=FULL_COUNT)),
    "tx input script": ("tx", tx_with(script=FULL_COUNT)),
    "tx outputs": ("tx", tx_with(outputs=FULL_COUNT)),
    "tx output script": ("tx", tx_with(out=FULL_COUNT)),
    "tx witness": ("tx", TX.raw[: -4 - 66] + FULL_COUNT),
    "50,001 inv": ("inv", b"\xfd\x51\xc3" + bytes(36 * 50_001)),
    "1,001 addr": ("addr", b"\xfd\xe9\x03" + V1_ENTRY * 1001),
    "1,001 addrv2": ("addrv2", b"\xfd\xe9\x03" + V2_ENTRY * 1001),
}


@pytest.mark.parametrize("what", COUNTS)
def test_counts_that_lie(stage: Stage, what: str) -> None:
    engine, bad, honest = with_honest(stage)
    before = engine.stats().memory_now
    bad.send(*COUNTS[what])
    assert is_closed(bad)
    expect_deposit(engine, honest, rig.deposit(2))
    assert engine.stats().memory_now == before


@pytest.mark.parametrize("command", ["tx", "inv", "unknown"])
def test_a_byte_over_four_million(stage: Stage, command: str) -> None:
    engine, bad, honest = with_honest(stage)
    header = rig.MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", 4_000_001) + bytes(4)
    bad.sock.sendall(header)  # what follows is not waited for
    assert is_closed(bad)
    expect_deposit(engine, honest, rig.deposit(2))


def test_four_million_bytes_are_read_and_no_more_is_kept(stage: Stage) -> None:
    engine, bad, honest = with_honest(stage)
    before, resident = engine.stats().memory_now, rss()
    for _ in range(5):
        bad.send("unknown", bytes(4_000_000))
        bad.settle()
    expect_deposit(engine, honest, rig.deposit(2))
    assert engine.stats().memory_now == before
    assert rss() - resident < 40_000_000


def test_floods_of_duplicates(stage: Stage) -> None:
    engine, bad, honest = with_honest(stage)
    before, resident = engine.stats().memory_now, rss()
    bad.deliver(TX)
    again = message("inv", rig.inv_payload(rig.MSG_WTX, [TX.wtxid] * 1000)) + message("tx", TX.raw) * 100
    for _ in range(50):
        bad.sock.sendall(again)
    bad.settle()  # nothing was asked for again
    stats = engine.stats()
    assert (stats.transactions, stats.duplicates, stats.deposits) == (1, 5000, 1)
    (peer, _) = engine.peers()
    rig.wait_until(lambda: engine.peers()[0].announced == 1)  # once, however often
    assert peer.peer == 0
    rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    expect_deposit(engine, honest, rig.deposit(2))
    assert engine.stats().memory_now == before
    assert rss() - resident < 20_000_000


@pytest.mark.alone
def test_who_floods_is_slowed_down(stage: Stage) -> None:
    """What one peer sends is taken at 16 MB a second; others are answered in between."""
    engine, bad, honest = with_honest(stage)
    noise = message("inv", rig.inv_payload(rig.MSG_WTX, [rig.sha256d(b"%d" % i) for i in range(10_000)]))
    chunk = noise * 10
    n = 10

    def flood() -> None:
        with contextlib.suppress(OSError):
            for _ in range(n):
                bad.sock.sendall(chunk)

    def read() -> None:
        with contextlib.suppress(OSError):
            while bad.sock.recv(65536):
                pass

    began = time.monotonic()
    threads = [threading.Thread(target=work, daemon=True) for work in (flood, read)]
    for thread in threads:
        thread.start()
    answers = []
    while threads[0].is_alive():
        sent = time.monotonic()
        honest.settle()
        answers.append(time.monotonic() - sent)
        time.sleep(0.002)
    rig.wait_until(lambda: engine.peers()[0].bytes_in >= n * len(chunk))
    took = time.monotonic() - began
    assert took > (n * len(chunk) - (4 << 20)) / (16 << 20)
    assert len(answers) > 20  # of two seconds and more; one that had to wait for a chunk would take 200 ms
    assert sorted(answers)[len(answers) // 2] < 0.1
    expect_deposit(engine, honest, rig.deposit(2))


def test_another_transaction_than_was_asked_for(stage: Stage) -> None:
    """It is dropped, and the one that was announced is asked of the next."""
    engine, bad, honest = with_honest(stage)
    wanted, other = rig.deposit(1), rig.deposit(2)
    bad.announce(wanted)
    assert bad.requested() == [wanted.wtxid]
    honest.announce(wanted)
    same_txid = rig.make_tx([(12_345, rig.script(999)), (2 * rig.COIN, rig.WATCHED)], seed=1, witness=b"x" * 64)
    assert same_txid.txid == wanted.txid
    bad.send("tx", other.raw)
    bad.send("tx", same_txid.raw)  # another wtxid
    assert honest.requested() == [wanted.wtxid]
    honest.send("tx", wanted.raw)
    event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    assert isinstance(event, DepositEvent)
    assert (event.wtxid, event.peer) == (wanted.wtxid[::-1].hex(), 1)
    stats = engine.stats()
    assert (stats.unrequested, stats.transactions) == (2, 1)
    rig.wait_until(lambda: engine.peers()[0].unanswered == 1)


@pytest.mark.alone
@pytest.mark.parametrize("timeout_ms", [250, 600])
def test_the_next_announcer_is_asked_in_time(stage: Stage, timeout_ms: int) -> None:
    listener = stage.later(rig.PeerListener())
    limits = {"request_timeout_ms": timeout_ms}
    engine = stage.engine(peers=[stage.peer_listener, listener], limits=limits)
    engine.start()
    first, second = stage.accept_peer().handshake(), stage.later(listener.accept().handshake())
    engine.wait_ready(rig.WAIT_S)
    began = time.monotonic()
    first.announce(TX)
    first.requested()
    second.announce(TX)
    assert second.requested() == [TX.wtxid]
    assert timeout_ms / 1000 <= time.monotonic() - began + 0.01 < timeout_ms / 1000 + 0.2


def test_a_hundred_peers_that_drip(stage: Stage) -> None:
    """One byte a second each, of a message that claims four million: they cost a few pages, and are left in the end."""
    drippers = stage.later(rig.PeerListener())
    limits = {"ping_interval_ms": 500, "idle_timeout_ms": 2000, "backoff_min_ms": 60_000, "backoff_max_ms": 60_000}
    engine = stage.engine(peers=[stage.peer_listener, *[drippers] * 100], limits=limits)
    drippers.sock.listen(128)
    engine.start()
    honest = stage.accept_peer().handshake()
    links = [stage.later(drippers.accept()).handshake() for _ in range(100)]
    engine.wait_ready(rig.WAIT_S)
    before, resident = engine.stats().memory_now, rss()
    data = message("tx", bytes(200))
    data = data[:16] + struct.pack("<I", 4_000_000) + data[20:]
    alive = True

    def pong() -> None:
        with contextlib.suppress(OSError):
            while alive:
                command, payload = honest.receive()
                if command == "ping":
                    honest.send("pong", payload)
                elif command == "getdata":
                    honest.send("tx", wanted[payload[5:37]].raw)

    wanted = {tx.wtxid: tx for tx in map(rig.deposit, range(10, 13))}
    threading.Thread(target=pong, daemon=True).start()
    for turn, tx in enumerate(wanted.values()):
        for link in links:
            with contextlib.suppress(OSError):
                link.sock.sendall(data[turn : turn + 1])
        began = time.monotonic()
        honest.announce(tx)
        event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
        assert isinstance(event, DepositEvent)
        assert event.txid == tx.id
        assert time.monotonic() - began < 1
        time.sleep(1)
    assert engine.stats().memory_now == before
    assert rss() - resident < 30_000_000
    rig.wait_until(lambda: engine.stats().peers_ready_now == 1)  # their pings stay unanswered
    alive = False
    assert {peer.code for peer in engine.peers()[1:]} == {-21005}  # HFT_E_CONN_IDLE_TIMEOUT
