"""The watch table is replaced while transactions arrive: each is looked up in one table or the other, none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import buildconf
from hftcore import WatchTable
from hftcore.errors import ConfigError
from hftcore.events import DepositEvent, Event, OrderEvent, WatchEvent, WhaleEvent
from tests.integration import rig
from tests.integration.conftest import Stage

OLD, NEW, BOTH = rig.script(1), rig.script(2), rig.script(3)


def table(*entries: tuple[bytes, str]) -> WatchTable:
    made = WatchTable(16)
    for script, label in entries:
        made.add(script, label)
    return made


def first_table() -> WatchTable:
    return table((OLD, "old"), (BOTH, "both"))


def second_table() -> WatchTable:
    """The labels have other numbers than in the first."""
    return table((rig.script(7), "x"), (rig.script(8), "y"), (BOTH, "both"), (NEW, "new"))


def read(engine: object, wanted: type[Event]) -> Event:
    return rig.wait_for(engine, lambda event: isinstance(event, wanted))  # type: ignore[arg-type]


def deposit_label(engine: object) -> str:
    event = read(engine, DepositEvent)
    assert isinstance(event, DepositEvent)
    return event.label


def test_nothing_is_lost_in_between(stage: Stage) -> None:
    rules = [rig.rule("both", labels=frozenset({"both"}))]
    engine = stage.start(watch=first_table(), rules=rules)
    scripts = [OLD, BOTH, NEW]
    txs = [rig.deposit(seed, to=scripts[seed % 3]) for seed in range(600)]
    index = {tx.id: i for i, tx in enumerate(txs)}

    def send() -> None:
        for tx in txs:
            stage.peer.deliver(tx)

    sender = threading.Thread(target=send)
    sender.start()
    events: list[Event] = []
    replaced = False
    while (tells := [e for e in events if isinstance(e, DepositEvent) and e.label == "both"]) == [] or len(tells) < 200:
        event = engine.next_event(rig.WAIT_S)
        assert event is not None
        events.append(event)
        if len(tells) == 60 and not replaced:
            replaced = True
            engine.replace_watch(second_table())
    sender.join()
    stage.peer.settle()
    while (event := engine.next_event(0.2)) is not None:
        events.append(event)

    deposits = [(e.label, index[e.txid]) for e in events if isinstance(e, DepositEvent)]
    seen = {label: [i for other, i in deposits if other == label] for label in ("old", "both", "new")}
    assert seen["both"] == list(range(1, 600, 3))
    last_old, first_new = seen["old"][-1], seen["new"][0]
    assert seen["old"] == list(range(0, last_old + 1, 3))
    assert seen["new"] == list(range(first_new, 600, 3))
    assert max(last_old, first_new - 3) < min(last_old + 3, first_new)  # one place in the stream divides both
    (at,) = [i for i, e in enumerate(events) if isinstance(e, WatchEvent)]
    assert events[at] == WatchEvent(events[at].time_ns, 4, 4)
    labels = [e.label for e in events[:at] if isinstance(e, DepositEvent)]
    assert "new" not in labels
    assert "old" not in [e.label for e in events[at:] if isinstance(e, DepositEvent)]
    orders = [index[e.txid] for e in events if isinstance(e, OrderEvent) and e.state == "sent"]
    assert orders == seen["both"]


def test_a_rule_without_its_label_keeps_the_old_table(stage: Stage) -> None:
    engine = stage.start(watch=first_table(), rules=[rig.rule("r", labels=frozenset({"old"}))])
    with pytest.raises(ConfigError, match="rule r: label 'old' is not watched"):
        engine.replace_watch(second_table())
    stage.peer.deliver(rig.deposit(1, to=OLD))
    rig.wait_order(engine, "sent")


def test_tables_put_in_a_row(stage: Stage) -> None:
    """Only what was confirmed is given back; the last one counts."""
    engine = stage.start_peer(watch=first_table())
    for i in range(50):
        engine.replace_watch(table((rig.script(100 + i), f"owner {i}"), (NEW, f"new {i}")))
    rig.wait_for(engine, lambda e: isinstance(e, WatchEvent))
    stage.peer.deliver(rig.deposit(1, to=NEW))
    rig.wait_until(lambda: engine.stats().deposits == 1)
    assert deposit_label(engine) == "new 49"
    assert engine.next_event(0) is None


def test_events_wait_for_room_and_the_table_with_them(stage: Stage) -> None:
    """Labels are numbers of a table: the event that says which must not be dropped, so the table waits for it."""
    engine = stage.start_peer(watch=first_table(), limits={"event_queue": 256})
    for seed in range(300):
        stage.peer.deliver(rig.deposit(seed, to=OLD))
    rig.wait_until(lambda: engine.stats().deposits == 300)
    assert engine.stats().events_dropped > 0
    engine.replace_watch(second_table())
    stage.peer.deliver(rig.deposit(1000, to=OLD))
    rig.wait_until(lambda: engine.stats().deposits == 301)
    event: Event | None = None
    while not isinstance(event, WatchEvent):
        event = engine.next_event(rig.WAIT_S)
        assert event is not None
        assert not isinstance(event, DepositEvent) or event.label == "old"
    stage.peer.deliver(rig.deposit(1001, to=NEW))
    assert deposit_label(engine) == "new"


def test_a_table_from_a_file(stage: Stage, tmp_path: Path) -> None:
    first_table().save(tmp_path / "first", "regtest")
    second_table().save(tmp_path / "second", "regtest")
    second_table().save(tmp_path / "other", "mainnet")
    engine = stage.start_peer(watch=WatchTable.open(tmp_path / "first"))
    stage.peer.deliver(rig.deposit(1, to=OLD))
    assert deposit_label(engine) == "old"
    with pytest.raises(ConfigError, match="built for mainnet, not for regtest"):
        engine.replace_watch(WatchTable.open(tmp_path / "other"))
    damaged = bytearray((tmp_path / "second").read_bytes())
    damaged[300] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(ConfigError, match="damaged"):
        engine.replace_watch(WatchTable.open(tmp_path / "damaged"))
    replacement = WatchTable.open(tmp_path / "second")
    engine.replace_watch(replacement)
    assert replacement.frozen
    read(engine, WatchEvent)
    (tmp_path / "second").write_bytes(b"")  # the engine has what it needs
    stage.peer.deliver(rig.deposit(2, to=NEW))
    assert deposit_label(engine) == "new"


def test_a_table_needs_a_running_engine(stage: Stage) -> None:
    engine = stage.engine(peers=[stage.peer_listener])
    with pytest.raises(ConfigError, match="does not run"):
        engine.replace_watch(first_table())
    engine.start()
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)
    engine.replace_watch(first_table())
    engine.stop()  # with a table that may not have been taken
    with pytest.raises(ConfigError, match="does not run"):
        engine.replace_watch(second_table())


def test_many_watched_scripts_in_one_transaction(stage: Stage) -> None:
    """Each is summed by itself, however many there are, and nothing stays for the next transaction."""
    owners = [(rig.script(100 + i), f"owner {i:03}") for i in range(200)]
    engine = stage.start_peer(watch=table(*owners))
    outputs = [(1000 * (i + 1), script) for i, (script, _) in enumerate(owners)]
    wanted = {f"owner {i:03}": (3000 * (i + 1), i) for i in range(200)}
    for seed in range(3):
        other = [(5, rig.script(999))]
        tx = rig.make_tx([*outputs, *other, *reversed(outputs), *other, *outputs], seed=seed)
        stage.peer.deliver(tx)
        found = {}
        for _ in owners:
            event = read(engine, DepositEvent)
            assert isinstance(event, DepositEvent)
            assert event.txid == tx.id
            found[event.label] = (event.amount_sat, event.output)
        assert found == wanted
    stage.peer.settle()
    assert engine.next_event(0) is None


def test_whales_are_what_the_table_in_use_does_not_know(stage: Stage) -> None:
    engine = stage.start_peer(watch=first_table(), whale_min_sat=rig.COIN)
    engine.replace_watch(second_table())
    read(engine, WatchEvent)
    stage.peer.deliver(rig.make_tx([(2 * rig.COIN, OLD), (3 * rig.COIN, NEW)], seed=1))
    whale, deposit = read(engine, WhaleEvent), read(engine, DepositEvent)
    assert isinstance(whale, WhaleEvent)
    assert isinstance(deposit, DepositEvent)
    assert (whale.amount_sat, deposit.amount_sat, deposit.label) == (2 * rig.COIN, 3 * rig.COIN, "new")


def test_hft_watch_reads_its_addresses_again_on_sigusr1(tmp_path: Path) -> None:
    path = tmp_path / "wallets.watch"
    first_table().save(path, "regtest")
    with rig.PeerListener() as listener:
        arguments = ["watch", "--network", "regtest", "--peer", f"127.0.0.1:{listener.port}", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", *arguments, "--addresses", str(path)],
            cwd=buildconf.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            peer = listener.accept().handshake()
            peer.deliver(rig.deposit(1, to=OLD))
            assert '"label":"old"' in process.stdout.readline()
            path.write_text("nonsense")
            os.kill(process.pid, signal.SIGUSR1)
            wait_line(process, "the addresses stay as they were")
            second_table().save(path, "regtest")
            os.kill(process.pid, signal.SIGUSR1)
            wait_line(process, "4 scripts of 4 owners are in use now")
            peer.deliver(rig.deposit(2, to=NEW))
            assert '"label":"new"' in process.stdout.readline()
            peer.deliver(rig.deposit(3, to=OLD))
            assert '"event":"whale"' in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(rig.WAIT_S) == 0
            peer.close()
        finally:
            process.kill()
            process.communicate()


def wait_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"{words!r} was not said")
