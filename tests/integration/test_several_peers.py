"""Rules that want several peers: one group of networks is one voice, and what is announced is what must arrive.

Groups share 64 places by a secret key, so two may count as one: a test may say that so many peers are too few, but
that they are enough only of clearly more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from hftcore import ConfigError
from hftcore.events import OrderEvent
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import COIN, PeerLink, Tx
from tests.integration.test_signals import ACME, HIDDEN, STRANGER, table

N_GROUPS = 8


class Crowd:
    """Peers at addresses of different groups, and two of one, ready."""

    def __init__(self, stage: Stage, closing: contextlib.ExitStack, **settings: Any) -> None:
        hosts = [f"127.{i}.0.1" for i in range(N_GROUPS)]
        listeners = [closing.enter_context(rig.PeerListener(host)) for host in [*hosts, "127.0.0.2", "127.0.9.9"]]
        settings.setdefault("rules", [rig.rule(min_peers=2)])
        self.engine = stage.engine(peers=listeners, venue=stage.venue_listener, watch=table(), dry_run=True, **settings)
        self.engine.start()
        links = []
        for listener in listeners:
            links.append(listener.accept().handshake())
            closing.callback(links[-1].close)
        stage.accept_venue().login()
        self.engine.wait_ready(rig.WAIT_S)
        self.peers, self.neighbours = links[:N_GROUPS], [links[0], *links[N_GROUPS:]]

    def announce(self, tx: Tx, *peers: PeerLink) -> None:
        for peer in peers:
            peer.announce(tx)
            peer.settle()

    def deliver(self, tx: Tx, peer: PeerLink) -> None:
        peer.deliver(tx)
        peer.settle()

    def orders(self) -> list[tuple[str, str, str]]:
        """State, reason and txid of what has been ordered since."""
        found = []
        while (event := self.engine.next_event(0)) is not None:
            if isinstance(event, OrderEvent):
                found.append((event.state, event.reason, event.txid))
        return found


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def deposit(seed: int, change: int = 1000) -> Tx:
    return rig.spend([STRANGER[0].coin(seed)], [(2 * COIN, ACME[0].script), (change, HIDDEN.script)])


def test_an_order_waits_for_the_second_group(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing)
    tx = deposit(1)
    crowd.deliver(tx, crowd.neighbours[0])
    crowd.announce(tx, *crowd.neighbours, *crowd.neighbours)  # again, and from next door: one voice
    assert crowd.orders() == []
    assert crowd.engine.stats().deposits == 1  # told at once
    crowd.announce(tx, *crowd.peers[1:])
    assert crowd.orders() == [("dry_run", "", tx.id)]
    assert crowd.engine.latency()["total"].count == 1


def test_what_was_announced_before_it_came_counts(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing, rules=[rig.rule("one"), rig.rule("two", min_peers=2), rig.rule("all", min_peers=11)])
    tx = deposit(2)
    crowd.peers[0].announce(tx)
    assert crowd.peers[0].requested() == [tx.wtxid]
    crowd.announce(tx, *crowd.peers[1:])
    crowd.peers[0].send("tx", tx.raw)
    crowd.peers[0].settle()
    events = [event for event in iter(lambda: crowd.engine.next_event(0), None) if isinstance(event, OrderEvent)]
    assert [(event.rule, event.state) for event in events] == [("one", "dry_run"), ("two", "dry_run")]


def test_time_is_up(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing, limits={"announce_timeout_ms": 200})
    tx = deposit(3)
    crowd.deliver(tx, crowd.peers[0])
    event = rig.wait_order(crowd.engine, "refused")
    assert (event.reason, event.txid, event.amount_sat) == ("HFT_E_ENGINE_TOO_FEW_PEERS", tx.id, 2 * COIN)
    crowd.announce(tx, *crowd.peers[1:])
    assert crowd.orders() == []


def test_only_the_wtxid_that_was_announced_counts(stage: Stage, closing: contextlib.ExitStack) -> None:
    """The same payment under another witness, which nobody else has announced."""
    crowd = Crowd(stage, closing, limits={"request_timeout_ms": 60_000})
    coin = STRANGER[0].coin(4)
    outputs = [(2 * COIN, ACME[0].script)]
    first = rig.spend([coin], outputs)
    other = rig.spend([rig.Coin(coin.outpoint, b"", (b"\x30\x01" + coin.witness[0], coin.witness[1]))], outputs)
    assert first.txid == other.txid
    crowd.deliver(first, crowd.peers[0])
    crowd.peers[1].announce(other)
    assert crowd.peers[1].requested() == [other.wtxid]
    crowd.announce(other, *crowd.peers[2:])
    assert crowd.orders() == []
    crowd.announce(first, *crowd.peers[1:])
    assert crowd.orders() == [("dry_run", "", first.id)]


def witnesses(owner: rig.Coin, outputs: list[tuple[int, bytes]]) -> tuple[Tx, Tx]:
    """The same transaction as it is, and as somebody has made it up who was faster."""
    honest = rig.spend([owner], outputs)
    made_up = rig.spend([rig.Coin(owner.outpoint, b"", (b"\x30\x01" + owner.witness[0], owner.witness[1]))], outputs)
    assert honest.txid == made_up.txid
    return honest, made_up


@pytest.mark.parametrize("early", [False, True])
def test_a_witness_that_was_made_up_stops_no_order(stage: Stage, closing: contextlib.ExitStack, early: bool) -> None:
    """It comes first and nobody else announces it; the other is announced before it arrives, or after."""
    crowd = Crowd(stage, closing, limits={"request_timeout_ms": 60_000})
    honest, made_up = witnesses(STRANGER[0].coin(9), [(2 * COIN, ACME[0].script)])
    crowd.deliver(made_up, crowd.peers[0])
    if early:
        crowd.peers[1].announce(honest)
        assert crowd.peers[1].requested() == [honest.wtxid]
        crowd.announce(honest, *crowd.peers[2:])
        assert crowd.orders() == []
        crowd.peers[1].send("tx", honest.raw)
        crowd.peers[1].settle()
    else:
        crowd.deliver(honest, crowd.peers[1])
        crowd.announce(honest, *crowd.peers[2:])
    assert crowd.orders() == [("dry_run", "", honest.id)]
    crowd.announce(made_up, *crowd.peers[1:])
    assert crowd.orders() == []


def test_under_two_witnesses_it_is_given_up_once(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing, limits={"announce_timeout_ms": 200})
    honest, made_up = witnesses(STRANGER[0].coin(10), [(2 * COIN, ACME[0].script)])
    crowd.deliver(made_up, crowd.peers[0])
    crowd.deliver(honest, crowd.peers[0])
    event = rig.wait_order(crowd.engine, "refused")
    assert (event.reason, event.txid) == ("HFT_E_ENGINE_TOO_FEW_PEERS", honest.id)
    crowd.announce(honest, *crowd.peers[1:])
    assert crowd.orders() == []


def test_a_witness_that_shows_change_is_not_waited_for(stage: Stage, closing: contextlib.ExitStack) -> None:
    """What was made up hides that the house pays itself; what is announced does not."""
    crowd = Crowd(stage, closing, limits={"request_timeout_ms": 60_000})
    honest, made_up = witnesses(ACME[0].coin(11), [(2 * COIN, ACME[1].script), (1000, HIDDEN.script)])
    crowd.deliver(made_up, crowd.peers[0])
    crowd.deliver(honest, crowd.peers[1])
    crowd.announce(honest, *crowd.peers[2:])
    assert crowd.orders() == []
    crowd.announce(made_up, *crowd.peers[1:])
    assert crowd.orders() == [("dry_run", "", honest.id)]


def test_a_transaction_that_was_not_asked_for_is_dropped(stage: Stage, closing: contextlib.ExitStack) -> None:
    """Asked for one, a peer sends another: it has no name that anybody announced."""
    crowd = Crowd(stage, closing, rules=[rig.rule()])
    wanted, sent = deposit(5), deposit(6)
    crowd.peers[0].announce(wanted)
    assert crowd.peers[0].requested() == [wanted.wtxid]
    crowd.peers[0].send("tx", sent.raw)
    crowd.peers[0].settle()
    assert crowd.orders() == []
    assert crowd.engine.stats().unrequested == 1
    crowd.peers[0].send("tx", wanted.raw)
    crowd.peers[0].settle()
    assert crowd.orders() == [("dry_run", "", wanted.id)]


@pytest.mark.parametrize("winner", [0, 1])
def test_of_two_that_wait_and_exclude_each_other_one_is_ordered_for(
    stage: Stage, closing: contextlib.ExitStack, winner: int
) -> None:
    crowd = Crowd(stage, closing)
    txs = [deposit(7), deposit(7, change=5000)]
    for tx in txs:
        crowd.deliver(tx, crowd.peers[0])
    crowd.announce(txs[winner], *crowd.peers[1:])
    assert crowd.orders() == [("dry_run", "", txs[winner].id)]
    crowd.announce(txs[1 - winner], *crowd.peers[1:])
    assert crowd.orders() == [("refused", "HFT_E_ENGINE_REPLACEMENT", txs[1 - winner].id)]


def test_the_oldest_makes_room(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing)
    txs = [deposit(100 + i) for i in range(258)]
    for tx in txs:
        crowd.deliver(tx, crowd.peers[0])
    assert crowd.orders() == [("refused", "HFT_E_ENGINE_WAITING_FULL", tx.id) for tx in txs[:2]]
    for tx in (txs[2], txs[100], txs[257]):
        crowd.announce(tx, *crowd.peers[1:])
        assert crowd.orders() == [("dry_run", "", tx.id)]


def test_the_kill_switch_holds_what_waits(stage: Stage, closing: contextlib.ExitStack) -> None:
    crowd = Crowd(stage, closing)
    tx = deposit(8)
    crowd.deliver(tx, crowd.peers[0])
    crowd.engine.kill()
    crowd.announce(tx, *crowd.peers[1:])
    assert crowd.orders() == [("refused", "HFT_E_RISK_KILLED", tx.id)]


@pytest.mark.parametrize("min_peers", [0, 17])
def test_wrong_numbers(min_peers: int) -> None:
    with pytest.raises(ConfigError, match="min_peers"):
        rig.rule(min_peers=min_peers)
