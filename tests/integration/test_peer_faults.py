"""What Bitcoin peers do to us: the one that breaks the protocol is left, a lost transaction is asked of the next."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from hftcore import ConnectionLost, Engine, RemoteProtocolError
from hftcore.errors import HftError
from hftcore.events import DepositEvent, Event, PeerEvent
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import PeerLink, Tx, message


def lost(event: Event) -> bool:
    return isinstance(event, PeerEvent) and event.state == "lost"


def wait_lost(engine: Engine, name: str) -> PeerEvent:
    event = rig.wait_for(engine, lost)
    assert isinstance(event, PeerEvent)
    assert isinstance(event.error, HftError), event.error
    assert event.error.name == name
    return event


def wait_deposit(engine: Engine, tx: Tx) -> DepositEvent:
    event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    assert isinstance(event, DepositEvent)
    assert event.txid == tx.id
    return event


def two_peers(stage: Stage, **settings: object) -> tuple[Engine, PeerLink, PeerLink]:
    """An engine between two ready peers; the first has number 0."""
    second = stage.later(rig.PeerListener())
    engine = stage.engine(peers=[stage.peer_listener, second], **settings)
    engine.start()
    links = stage.accept_peer().handshake(), stage.later(second.accept().handshake())
    engine.wait_ready(rig.WAIT_S)
    return engine, *links


# ---- the ordinary way ----


@pytest.mark.parametrize("protocol", [70016, 70015])
def test_handshake_and_transaction(stage: Stage, protocol: int) -> None:
    engine = stage.engine(peers=[stage.peer_listener])
    engine.start()
    link = stage.accept_peer().handshake(protocol)
    version, services, timestamp = struct.unpack_from("<iQq", link.version_payload)
    assert (version, services) == (70016, 0)
    assert abs(timestamp - time.time()) < 5
    assert link.version_payload[-1] == 1  # relay
    event = rig.wait_for(engine, lambda e: isinstance(e, PeerEvent) and e.state == "ready")
    assert isinstance(event, PeerEvent)
    assert (event.user_agent, event.protocol_version) == ("/Test:1/", protocol)
    tx = rig.make_tx([(5, rig.script(9)), (3 * rig.COIN, rig.WATCHED), (1, rig.WATCHED)], seed=4)
    link.deliver(tx)
    found = wait_deposit(engine, tx)
    assert (found.wtxid, found.amount_sat, found.label, found.output, found.peer) == (
        tx.wtxid[::-1].hex(), 3 * rig.COIN + 1, "acme", 1, 0,
    )  # fmt: skip
    assert list(found.stages) == ["queue", "parse", "verify"]
    assert found.stages["verify"] > 0


def test_every_message_byte_by_byte(stage: Stage) -> None:
    engine = stage.engine(peers=[stage.peer_listener])
    engine.start()
    link = stage.accept_peer()
    link.expect("version")
    link.by_wtxid = True
    tx = rig.deposit(1)
    stream = (
        message("version", link.version()) + message("wtxidrelay") + message("sendaddrv2") + message("verack")
        + message("feefilter", bytes(8)) + message("inv", rig.inv_payload(rig.MSG_WTX, [tx.wtxid]))
    )  # fmt: skip
    for i in range(len(stream)):
        link.sock.sendall(stream[i : i + 1])
    for command in ("wtxidrelay", "sendaddrv2", "verack"):
        link.expect(command)
    assert link.requested() == [tx.wtxid]
    for byte in message("tx", tx.raw):
        link.sock.sendall(bytes([byte]))
    wait_deposit(engine, tx)


def test_pings_are_answered_and_sent(stage: Stage) -> None:
    engine = stage.start_peer(limits={"ping_interval_ms": 30})
    for _ in range(3):
        nonce = stage.peer.expect("ping")
        stage.peer.send("pong", b"not this")  # left alone
        stage.peer.settle()  # nor is another one sent while this is unanswered
        time.sleep(0.1)
        stage.peer.send("pong", nonce)
    stage.peer.settle()
    rig.wait_until(lambda: engine.peers()[0].ping_ns >= 100_000_000)
    assert 0 < engine.peers()[0].ping_min_ns < 100_000_000  # the handshake's own
    assert engine.stats().peers_ready_now == 1


def test_a_peer_that_talks_but_answers_no_ping_is_left(stage: Stage) -> None:
    engine = stage.start_peer(limits={"ping_interval_ms": 20, "idle_timeout_ms": 200})
    stage.peer.expect("ping")
    for byte in message("inv", bytes(1)) * 40:  # bytes trickle in all the time
        try:
            stage.peer.sock.sendall(bytes([byte]))
        except ConnectionError:
            break
        time.sleep(0.002)
    assert "pings" in str(wait_lost(engine, "HFT_E_CONN_IDLE_TIMEOUT").error)


def test_silent_peer_is_left(stage: Stage) -> None:
    engine = stage.start_peer(limits={"ping_interval_ms": 20, "idle_timeout_ms": 200})
    wait_lost(engine, "HFT_E_CONN_IDLE_TIMEOUT")
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)


def test_same_transaction_with_another_witness_fires_once(stage: Stage) -> None:
    engine = stage.start()
    first = rig.make_tx([(2 * rig.COIN, rig.WATCHED)], seed=1, witness=b"a" * 64)
    second = rig.make_tx([(2 * rig.COIN, rig.WATCHED)], seed=1, witness=b"b" * 64)
    assert first.txid == second.txid
    assert first.wtxid != second.wtxid
    stage.peer.deliver(first)
    stage.peer.deliver(second)
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "sent").txid == first.id
    assert rig.wait_order(engine, "sent").txid == rig.deposit(2).id
    stage.peer.settle()
    stats = engine.stats()
    assert (stats.deposits, stats.orders_sent, stats.transactions) == (2, 2, 3)


def test_one_transaction_by_txid_and_by_wtxid(stage: Stage) -> None:
    """A peer without wtxid relay names a transaction otherwise: it is still one."""
    second = stage.later(rig.PeerListener())
    engine = stage.engine(peers=[stage.peer_listener, second])
    engine.start()
    by_wtxid = stage.accept_peer().handshake(70016)
    by_txid = stage.later(second.accept().handshake(70015))
    engine.wait_ready(rig.WAIT_S)
    first, second_tx = rig.deposit(1), rig.deposit(2)
    by_wtxid.deliver(first)
    wait_deposit(engine, first)
    by_txid.deliver(first)
    by_txid.settle()
    assert engine.stats().duplicates == 1
    by_txid.deliver(second_tx)
    wait_deposit(engine, second_tx)
    by_wtxid.announce(second_tx)  # known by now: not asked for
    by_wtxid.settle()
    stats = engine.stats()
    assert (stats.deposits, stats.transactions, stats.duplicates) == (2, 2, 1)


def test_unrequested_is_ignored_and_counted(stage: Stage) -> None:
    engine = stage.start()
    stage.peer.send("tx", rig.deposit(1).raw)
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "sent").txid == rig.deposit(2).id
    stage.peer.send("tx", rig.deposit(2).raw)
    stage.peer.settle()
    stats = engine.stats()
    assert (stats.unrequested, stats.duplicates, stats.transactions, stats.orders_sent) == (1, 1, 1, 1)


def test_each_is_asked_of_one_peer_at_a_time(stage: Stage) -> None:
    _, first, second = two_peers(stage, limits={"request_timeout_ms": 60_000})
    txs = [rig.deposit(i) for i in range(20)]
    first.announce(*txs)
    assert first.requested() == [tx.wtxid for tx in txs]
    second.announce(*txs)
    second.settle()  # a getdata would have come first


def test_no_more_than_a_hundred_are_asked_of_one_peer(stage: Stage) -> None:
    engine = stage.start_peer(limits={"request_timeout_ms": 60_000})
    txs = {tx.wtxid: tx for tx in map(rig.deposit, range(250))}
    stage.peer.announce(*txs.values())
    asked = stage.peer.requested()
    assert len(asked) == 100
    stage.peer.settle()
    got = 0
    while asked:
        stage.peer.send("tx", txs[asked.pop(0)].raw)
        got += 1
        if not asked and got < 250:
            while not asked:
                asked = stage.peer.requested()
    stage.peer.settle()
    assert engine.stats().transactions == 250


# ---- whom to ask next ----


@pytest.mark.parametrize("how", ["silence", "notfound", "wrong checksum", "closes", "resets"])
def test_asked_of_the_next_announcer(stage: Stage, how: str) -> None:
    engine, first, second = two_peers(stage)
    tx = rig.deposit(1)
    first.announce(tx)
    assert first.requested() == [tx.wtxid]
    began = time.monotonic()
    second.announce(tx)
    second.settle()
    if how == "notfound":
        first.send("notfound", rig.inv_payload(rig.MSG_WTX, [tx.wtxid]))
    elif how == "wrong checksum":
        first.sock.sendall(message("tx", tx.raw, checksum=b"oops"))
    elif how == "closes":
        first.close()
    elif how == "resets":
        rig.reset(first.sock)
    assert second.requested() == [tx.wtxid]
    if how in {"silence", "wrong checksum"}:
        assert time.monotonic() - began > 0.35
    second.send("tx", tx.raw)
    assert wait_deposit(engine, tx).peer == 1
    if how == "wrong checksum":
        assert engine.stats().checksum_errors == 1


def test_announced_again_after_nobody_had_it(stage: Stage) -> None:
    engine = stage.start_peer()
    tx = rig.deposit(1)
    stage.peer.announce(tx)
    stage.peer.requested()
    stage.peer.send("notfound", rig.inv_payload(rig.MSG_WTX, [tx.wtxid]))
    stage.peer.settle()
    stage.peer.deliver(tx)
    wait_deposit(engine, tx)


def test_a_flood_of_announcements_pushes_nothing_out(stage: Stage) -> None:
    """A peer that announces more than anybody remembers costs the others nothing."""
    engine, first, second = two_peers(stage, limits={"request_timeout_ms": 60_000, "seen_cap": 8192})
    tx = rig.deposit(1)
    second.announce(tx)
    assert second.requested() == [tx.wtxid]
    noise = [rig.sha256d(b"%d" % i) for i in range(50_000)]
    first.send("inv", rig.inv_payload(rig.MSG_WTX, noise))
    first.settle() if first.receive()[0] == "getdata" else None
    second.send("tx", tx.raw)
    wait_deposit(engine, tx)
    assert engine.stats().unrequested == 0


def test_a_flood_that_denies_itself_pushes_nothing_out(stage: Stage) -> None:
    """A notfound for what nobody asked of it must not clear a peer's account, or it could go on for ever."""
    engine, first, second = two_peers(stage, limits={"request_timeout_ms": 60_000, "seen_cap": 8192})
    tx = rig.deposit(1)
    second.announce(tx)
    assert second.requested() == [tx.wtxid]
    for turn in range(12):
        noise = [rig.sha256d(b"%d %d" % (turn, i)) for i in range(2000)]
        first.send("inv", rig.inv_payload(rig.MSG_WTX, noise))
        first.send("notfound", rig.inv_payload(rig.MSG_WTX, noise))
    first.send("ping", b"12345678")
    while first.receive() != ("pong", b"12345678"):
        pass  # requests for the noise
    second.send("tx", tx.raw)
    wait_deposit(engine, tx)
    assert engine.stats().unrequested == 0


def test_a_peer_that_never_answers_is_asked_for_little(stage: Stage) -> None:
    """After a few requests in vain it holds up one transaction at a time; who answers is asked first."""
    engine, first, second = two_peers(stage, limits={"request_timeout_ms": 50})
    silent = [rig.deposit(i) for i in range(10, 20)]
    first.announce(*silent)
    assert len(first.requested()) == len(silent)
    second.announce(*silent)
    asked: list[bytes] = []
    while len(asked) < len(silent):
        asked += second.requested()
    assert sorted(asked) == sorted(tx.wtxid for tx in silent)
    first.announce(*[rig.deposit(i) for i in range(30, 40)])
    assert len(first.requested()) == 1
    assert engine.stats().peers_ready_now == 2


# ---- what breaks the protocol ----


def header(command: bytes, length: int, magic: bytes = rig.MAGIC) -> bytes:
    return magic + command.ljust(12, b"\0") + struct.pack("<I", length) + b"\0\0\0\0"


def tx_message(payload: bytes) -> bytes:
    return message("tx", payload)


FAULTS: dict[str, tuple[bytes, str]] = {
    "wrong magic": (message("ping", bytes(8), magic=b"\xf9\xbe\xb4\xd9"), "HFT_E_BTC_MAGIC"),
    "oversized length": (header(b"tx", 4_000_001), "HFT_E_BTC_TOO_LARGE"),
    "largest length": (header(b"tx", 0xFFFFFFFF), "HFT_E_BTC_TOO_LARGE"),
    "garbage": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HFT_E_BTC_MAGIC"),
    "command with a hole": (header(b"tx\0x", 0), "HFT_E_BTC_COMMAND"),
    "unprintable command": (header(b"\x01\x02", 0), "HFT_E_BTC_COMMAND"),
    "second version": (message("version", PeerLink.version()), "HFT_E_BTC_HANDSHAKE"),
    "wtxidrelay after verack": (message("wtxidrelay"), "HFT_E_BTC_HANDSHAKE"),
    "inv of 50,001": (message("inv", b"\xfd" + struct.pack("<H", 50_001) + bytes(36 * 50_001)), "HFT_E_BTC_COUNT"),
    "inv of 2^64-1": (message("inv", b"\xff" * 9), "HFT_E_BTC_COUNT"),
    "inv with a long count": (message("inv", b"\xfd\x01\x00" + bytes(36)), "HFT_E_BTC_COMPACT_SIZE"),
    "inv too short": (message("inv", b"\x02" + bytes(36)), "HFT_E_BTC_TRUNCATED"),
    "inv too long": (message("inv", b"\x01" + bytes(37)), "HFT_E_BTC_TRAILING"),
    "short ping": (message("ping", b"1234"), "HFT_E_BTC_TRUNCATED"),
    "tx with bytes behind it": (tx_message(rig.deposit(1).raw + b"\0"), "HFT_E_BTC_TRAILING"),
    "empty tx": (tx_message(b""), "HFT_E_BTC_TRUNCATED"),
    "tx of 2^64-1 inputs": (tx_message(struct.pack("<i", 2) + b"\xff" * 9), "HFT_E_BTC_TRUNCATED"),
    "tx of too much money": (tx_message(rig.make_tx([(21 * 10**14 + 1, rig.WATCHED)]).raw), "HFT_E_BTC_AMOUNT"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_breaking_the_protocol_ends_one_connection_only(stage: Stage, name: str) -> None:
    data, code = FAULTS[name]
    engine, first, second = two_peers(stage)
    first.sock.sendall(data)
    event = wait_lost(engine, code)
    assert event.peer == 0
    assert isinstance(event.error, RemoteProtocolError)
    first.wait_closed()
    second.deliver(rig.deposit(5))
    wait_deposit(engine, rig.deposit(5))
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)
    stage.peer.deliver(rig.deposit(6))
    wait_deposit(engine, rig.deposit(6))


def test_wrong_checksum_is_dropped_and_the_connection_stays(stage: Stage) -> None:
    engine = stage.start_peer()
    tx = rig.deposit(1)
    stage.peer.sock.sendall(message("ping", bytes(8), checksum=b"oops"))
    stage.peer.sock.sendall(message("inv", rig.inv_payload(rig.MSG_WTX, [tx.wtxid]), checksum=b"oops"))
    stage.peer.sock.sendall(message("tx", tx.raw, checksum=b"oops"))
    stage.peer.sock.sendall(message("tx", tx.raw[:50], checksum=b"oops"))
    stage.peer.deliver(tx)
    wait_deposit(engine, tx)
    stats = engine.stats()
    assert (stats.peers_ready_now, stats.reconnects, stats.malformed) == (1, 0, 0)
    rig.wait_until(lambda: engine.stats().checksum_errors == 4)


def test_unknown_messages_are_ignored(stage: Stage) -> None:
    engine = stage.start_peer()
    for command, payload in (
        ("feature", b"x"),
        ("sendcmpct", bytes(9)),
        ("addr", b"\0"),
        ("reject", b""),
        ("alert", b"?"),
    ):
        stage.peer.send(command, payload)
    stage.peer.deliver(rig.deposit(1))
    wait_deposit(engine, rig.deposit(1))


def test_truncated_at_every_byte(stage: Stage) -> None:
    """Each truncation, under a right checksum, costs the peer that sent it its connection, and nobody else anything."""
    engine, first, second = two_peers(stage, limits={"backoff_min_ms": 1, "backoff_max_ms": 2})
    tx = rig.deposit(1)
    for size in range(len(tx.raw)):
        first.announce(tx)
        first.sock.sendall(tx_message(tx.raw[:size]))
        first.wait_closed()
        first = stage.accept_peer().handshake()
    second.deliver(tx)
    assert wait_deposit(engine, tx).peer == 1
    rig.wait_until(lambda: engine.stats().malformed == len(tx.raw))


@pytest.mark.parametrize("size", [1, 23, 24, 25, 60])
def test_closed_in_the_middle_of_a_message(stage: Stage, size: int) -> None:
    engine = stage.start_peer()
    tx = rig.deposit(1)
    stage.peer.announce(tx)
    stage.peer.requested()
    stage.peer.sock.sendall(message("tx", tx.raw)[:size])
    stage.peer.close()
    assert isinstance(wait_lost(engine, "HFT_E_CONN_CLOSED").error, ConnectionLost)
    stage.accept_peer().handshake()
    stage.peer.deliver(tx)  # from the start: no byte of the former connection is left
    wait_deposit(engine, tx)


# ---- the handshake ----


def answer(payload: Callable[[bytes], bytes]) -> Callable[[PeerLink], None]:
    def act(link: PeerLink) -> None:
        link.send("version", payload(link.expect("version")))

    return act


def silent(link: PeerLink) -> None:
    link.expect("version")


def no_verack(link: PeerLink) -> None:
    answer(lambda _: PeerLink.version())(link)


def verack_first(link: PeerLink) -> None:
    link.send("verack")


def truncated_version(link: PeerLink) -> None:
    link.send("version", PeerLink.version()[:50])


HANDSHAKES: dict[str, tuple[Callable[[PeerLink], None], str]] = {
    "silent": (silent, "HFT_E_CONN_HANDSHAKE_TIMEOUT"),
    "no verack": (no_verack, "HFT_E_CONN_HANDSHAKE_TIMEOUT"),
    "too old": (answer(lambda _: PeerLink.version(protocol=60002)), "HFT_E_BTC_VERSION"),
    "no witness": (answer(lambda _: PeerLink.version(services=1)), "HFT_E_BTC_NO_RELAY"),
    "connected to ourselves": (answer(lambda ours: PeerLink.version(nonce=ours[72:80])), "HFT_E_BTC_SELF"),
    "verack first": (verack_first, "HFT_E_BTC_HANDSHAKE"),
    "truncated version": (truncated_version, "HFT_E_BTC_TRUNCATED"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_bad_handshake(stage: Stage, name: str) -> None:
    act, code = HANDSHAKES[name]
    engine = stage.engine(peers=[stage.peer_listener], limits={"handshake_timeout_ms": 500})
    engine.start()
    link = stage.accept_peer()
    act(link)
    wait_lost(engine, code)
    link.wait_closed()
    assert engine.stats().peers_ready_now == 0


def test_transactions_before_the_handshake_are_not_taken(stage: Stage) -> None:
    engine = stage.engine(peers=[stage.peer_listener])
    engine.start()
    link = stage.accept_peer()
    link.expect("version")
    link.send("version", link.version())
    link.send("wtxidrelay")
    link.by_wtxid = True
    link.announce(rig.deposit(1))
    link.send("tx", rig.deposit(1).raw)
    link.send("verack")
    for command in ("wtxidrelay", "sendaddrv2", "verack"):
        link.expect(command)
    link.settle()
    assert engine.stats().transactions == 0


def test_peer_that_does_not_read(stage: Stage) -> None:
    """Answers pile up until the buffer is full; then the peer is left, and memory has not grown."""
    engine = stage.start_peer()
    before = engine.stats().memory_now
    ping = message("ping", bytes(8)) * 1000
    try:
        for _ in range(2000):
            stage.peer.sock.sendall(ping)
    except OSError:
        pass
    else:
        pytest.fail("the engine went on answering")
    event = rig.wait_for(engine, lost)
    assert isinstance(event, PeerEvent)
    assert engine.stats().memory_now == before
