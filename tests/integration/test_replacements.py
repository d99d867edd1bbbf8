"""Transactions that replace others: told, never ordered for twice, and revocations said to be."""

from __future__ import annotations

from typing import Any

import pytest

from hftcore import Engine
from hftcore.events import DepositEvent, OrderEvent, ReplacementEvent, RevokedEvent, Signal, WithdrawalEvent
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import COIN, Tx
from tests.integration.test_signals import ACME, BANK, HIDDEN, STRANGER, table, told

A, B, C = (STRANGER[0].coin(i) for i in range(3))


def pay(amount_sat: int, *coins: rig.Coin, to: bytes = ACME[0].script, change: int = 1000) -> Tx:
    """Pays from these coins, A by default; the change makes it another transaction."""
    return rig.spend(coins or (A,), [(amount_sat, to), (change, HIDDEN.script)])


def names(events: list[Signal | OrderEvent]) -> list[str]:
    """The events in short: kind, and what is most important of each."""
    short = []
    for event in events:
        match event:
            case OrderEvent():
                short.append(f"{event.state} {event.rule} {event.reason}".rstrip())
            case ReplacementEvent():
                short.append("replacement")
            case RevokedEvent():
                short.append(f"revoked {event.amount_sat // COIN} {event.label} {','.join(event.rules)}".rstrip())
            case DepositEvent():
                short.append(f"deposit {event.amount_sat // COIN} {event.label}")
            case other:
                short.append(type(other).__name__)
    return short


REFUSED = "refused deposit HFT_E_ENGINE_REPLACEMENT"


@pytest.fixture
def engine(stage: Stage) -> Engine:
    return stage.start(watch=table(), dry_run=True)


def test_a_replacement_names_what_it_replaces(stage: Stage, engine: Engine) -> None:
    first, second = pay(0, A, B), rig.spend([C, B], [(5, HIDDEN.script)])
    assert told(stage, engine, first) == []
    (event,) = told(stage, engine, second)
    assert isinstance(event, ReplacementEvent)
    assert (event.txid, event.wtxid, event.replaces) == (second.id, second.wtxid[::-1].hex(), first.id)
    assert (event.outpoints, event.peer) == (1, 0)
    third = rig.spend([A, B, C], [(6, HIDDEN.script)])
    events = told(stage, engine, third)
    assert {(e.replaces, e.outpoints) for e in events if isinstance(e, ReplacementEvent)} == {
        (first.id, 1), (second.id, 2),
    }  # fmt: skip
    assert len(events) == engine.stats().replacements - 1 == 2


def test_the_same_transaction_again_is_no_replacement(stage: Stage, engine: Engine) -> None:
    coin = ACME[0].coin(0)
    again = rig.Coin(coin.outpoint, b"", (b"\x30" + coin.witness[0][1:-1] + b"\x02", coin.witness[1]))
    first, second = (rig.spend([coin], [(0, HIDDEN.script)]) for coin in (coin, again))
    assert first.txid == second.txid
    assert first.wtxid != second.wtxid
    assert told(stage, engine, first, second) == []
    (event,) = told(stage, engine, rig.spend([coin], [(0, STRANGER[0].script)]))
    assert isinstance(event, ReplacementEvent)


def test_another_index_is_another_coin(stage: Stage, engine: Engine) -> None:
    other = rig.Coin(A.outpoint[:32] + b"\0\0\0\1", A.script_sig, A.witness)
    assert names(told(stage, engine, pay(2 * COIN), pay(2 * COIN, other))) == [
        "dry_run deposit", "deposit 2 acme", "dry_run deposit", "deposit 2 acme",
    ]  # fmt: skip


def test_a_deposit_replaced_by_another_orders_once(stage: Stage, engine: Engine) -> None:
    assert names(told(stage, engine, pay(2 * COIN))) == ["dry_run deposit", "deposit 2 acme"]
    for change in (2000, 3000, 4000):  # each replaces the one before, not the first
        events = told(stage, engine, pay(3 * COIN, change=change))
        assert names(events) == [REFUSED, "replacement", "deposit 3 acme"]
    assert names(told(stage, engine, pay(3 * COIN, to=BANK[0].script))) == [
        REFUSED, "replacement", "revoked 3 acme deposit", "deposit 3 bank",
    ]  # fmt: skip
    assert engine.stats().orders_dry_run == 1


def test_a_deposit_that_comes_back_orders_no_more(stage: Stage, engine: Engine) -> None:
    told(stage, engine, pay(2 * COIN))
    (replacement, revoked) = told(stage, engine, pay(2 * COIN, to=STRANGER[1].script))
    assert isinstance(replacement, ReplacementEvent)
    assert isinstance(revoked, RevokedEvent)
    assert (revoked.label, revoked.amount_sat, revoked.left_sat, revoked.rules) == ("acme", 2 * COIN, 0, ("deposit",))
    assert (revoked.txid, revoked.replaces) == (replacement.txid, replacement.replaces) == (
        pay(2 * COIN, to=STRANGER[1].script).id, pay(2 * COIN).id,
    )  # fmt: skip
    assert names(told(stage, engine, pay(4 * COIN))) == [REFUSED, "replacement", "deposit 4 acme"]
    assert engine.stats().revoked == 1


def test_what_was_not_ordered_for_may_still_be(stage: Stage, engine: Engine) -> None:
    """The first is too small for the rule; what replaces it, with another coin beside, is large enough."""
    assert names(told(stage, engine, pay(COIN // 2))) == ["deposit 0 acme"]
    assert names(told(stage, engine, pay(2 * COIN, A, B))) == ["dry_run deposit", "replacement", "deposit 2 acme"]
    assert names(told(stage, engine, pay(2 * COIN, B, C))) == [REFUSED, "replacement", "deposit 2 acme"]


def test_groups_that_one_transaction_joins(stage: Stage, engine: Engine) -> None:
    """One that replaces two deposits: both were ordered for, and no order comes of it, or of what replaces it."""
    assert names(told(stage, engine, pay(2 * COIN, A), pay(3 * COIN, B, to=BANK[0].script))) == [
        "dry_run deposit", "deposit 2 acme", "dry_run deposit", "deposit 3 bank",
    ]  # fmt: skip
    events = told(stage, engine, pay(4 * COIN, A, B))
    assert names(events) == [REFUSED, "replacement", "replacement", "revoked 3 bank deposit", "deposit 4 acme"]
    assert names(told(stage, engine, pay(4 * COIN, B, change=9))) == [REFUSED, "replacement", "deposit 4 acme"]


def test_less_than_a_rule_wants_is_a_revocation(stage: Stage) -> None:
    """Rules with other minima and labels: each is named only where it had ordered for that owner."""
    rules = [
        rig.rule("large", min_sat=5 * COIN),
        rig.rule("small", min_sat=2 * COIN, labels=frozenset({"acme"})),
        rig.rule("bank", min_sat=COIN, labels=frozenset({"bank"})),
    ]
    engine = stage.start(watch=table(), dry_run=True, rules=rules, deposit_min_sat=COIN)
    outputs = [(6 * COIN, ACME[0].script), (COIN, ACME[1].script), (3 * COIN, BANK[0].script)]
    told(stage, engine, rig.spend([A], outputs))
    events = told(stage, engine, rig.spend([A], [(4 * COIN, ACME[2].script), (COIN // 2, BANK[0].script)]))
    revoked = {e.label: (e.amount_sat, e.left_sat, e.rules) for e in events if isinstance(e, RevokedEvent)}
    assert revoked == {
        "acme": (7 * COIN, 4 * COIN, ("large", "small")),
        "bank": (3 * COIN, 0, ("bank",)),
    }
    # Of what is left, 4 and half a coin, the rules that want less have ordered already.
    events = told(stage, engine, rig.spend([A], [(3 * COIN, ACME[2].script)]))
    assert [e for e in events if isinstance(e, RevokedEvent)] == []


def test_what_was_neither_told_nor_ordered_for_is_not_revoked(stage: Stage) -> None:
    """Of interest to a rule alone, which was not allowed to act."""
    engine = stage.start(watch=table(), dry_run=True, deposit_min_sat=5 * COIN)
    engine.kill()
    events = told(stage, engine, pay(2 * COIN), pay(2 * COIN, to=HIDDEN.script))
    assert names(events) == ["refused deposit HFT_E_RISK_KILLED", "replacement"]


def test_change_is_nothing_that_can_be_revoked(stage: Stage, engine: Engine) -> None:
    coin = ACME[0].coin(7)
    spent = [(COIN, HIDDEN.script), (2 * COIN, ACME[0].script)]
    (event,) = told(stage, engine, rig.spend([coin], spent))
    assert isinstance(event, WithdrawalEvent)
    assert names(told(stage, engine, rig.spend([coin], [(3 * COIN, HIDDEN.script)]))) == [
        "replacement", "WithdrawalEvent",
    ]  # fmt: skip


def test_only_so_much_is_remembered(stage: Stage) -> None:
    """The oldest outpoints go; without any nothing is noticed."""
    engine = stage.start_peer(watch=table(), limits={"outpoints": 1024})
    told(stage, engine, pay(0, A))
    assert names(told(stage, engine, pay(1, A, to=HIDDEN.script))) == ["replacement"]
    crowd = [rig.spend([HIDDEN.coin(i)], [(i, HIDDEN.script)]) for i in range(512)]
    stage.peer.announce(*crowd)
    by_wtxid = {tx.wtxid: tx for tx in crowd}
    left = len(crowd)
    while left:
        for key in stage.peer.requested():
            stage.peer.send("tx", by_wtxid[key].raw)
            left -= 1
    stage.peer.settle()
    assert told(stage, engine, pay(2, A, to=HIDDEN.script)) == []
    assert names(told(stage, engine, pay(3, A, to=HIDDEN.script))) == ["replacement"]


def test_a_rule_that_has_ordered_is_barred_however_many_are_replaced(stage: Stage, engine: Engine) -> None:
    """More than can be told; the one that was ordered for comes last."""
    coins = [STRANGER[1].coin(i) for i in range(17)]
    told(stage, engine, *(pay(0, coin) for coin in coins[:16]))
    assert names(told(stage, engine, pay(2 * COIN, coins[16]))) == ["dry_run deposit", "deposit 2 acme"]
    assert REFUSED in names(told(stage, engine, pay(3 * COIN, *coins)))
    assert names(told(stage, engine, pay(4 * COIN, coins[16]))) == [REFUSED, "replacement", "deposit 4 acme"]


def flood(stage: Stage, engine: Engine, n: int) -> None:
    """So many small deposits that nobody orders for."""
    for first in range(0, n, 90):
        crowd = {tx.wtxid: tx for tx in (pay(COIN // 2, HIDDEN.coin(first + i)) for i in range(90))}
        stage.peer.announce(*crowd.values())
        left = len(crowd)
        while left:
            for key in stage.peer.requested():
                stage.peer.send("tx", crowd[key].raw)
                left -= 1
        stage.peer.settle()
        while engine.next_event(0) is not None:
            pass


@pytest.mark.parametrize("between", [None, HIDDEN.script], ids=["once", "again"])
def test_an_order_is_remembered_longer_than_what_was_told(stage: Stage, engine: Engine, between: bytes | None) -> None:
    """A fee is raised after an hour, once or again: 8,192 other signals have pushed out what was told."""
    told(stage, engine, pay(2 * COIN))
    if between is not None:
        told(stage, engine, pay(2 * COIN, to=between, change=2000))
    flood(stage, engine, 8280)
    assert names(told(stage, engine, pay(3 * COIN))) == [REFUSED, "replacement", "deposit 3 acme"]
    assert engine.stats().orders_dry_run == 1


def test_none_are_remembered(stage: Stage) -> None:
    engine = stage.start(watch=table(), dry_run=True, limits={"outpoints": 0})
    assert names(told(stage, engine, pay(2 * COIN), pay(2 * COIN, change=5))) == [
        "dry_run deposit", "deposit 2 acme", "dry_run deposit", "deposit 2 acme",
    ]  # fmt: skip


@pytest.mark.parametrize("n", [31, 32, 33, 65, 100])
def test_many_inputs(stage: Stage, n: int) -> None:
    """The one coin that was spent before stands anywhere among many; each may have been spent by another."""
    engine = stage.start(watch=table(), dry_run=True)
    coins: list[Any] = [STRANGER[1].coin(i) for i in range(n)]
    assert names(told(stage, engine, pay(2 * COIN))) == ["dry_run deposit", "deposit 2 acme"]
    place = n - 1
    coins[place] = A
    assert names(told(stage, engine, pay(3 * COIN, *coins))) == [REFUSED, "replacement", "deposit 3 acme"]
    events = told(stage, engine, *(pay(0, coin) for coin in coins))
    assert names(events).count("replacement") == n
    assert names(events).count("revoked 3 acme deposit") == n
    events = told(stage, engine, pay(1, *coins))
    assert len({event.replaces for event in events if isinstance(event, ReplacementEvent)}) == min(n, 16)
