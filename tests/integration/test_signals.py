"""Who spends: change, moves within one house and withdrawals are no deposits; what is hidden is said to be.

The wallets are made up: keys of hashes, scripts and their hashes by python-bitcoinlib.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import pytest
from bitcoin.core import Hash160  # type: ignore[import-untyped]

from hftcore import Engine, WatchTable
from hftcore.events import (
    DepositEvent,
    InternalEvent,
    OrderEvent,
    PeerEvent,
    Signal,
    VenueEvent,
    WhaleEvent,
    WithdrawalEvent,
)
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import COIN, Coin, Tx

SIGNATURE = b"\x30\x44\x02\x20" + b"\x11" * 32 + b"\x02\x20" + b"\x22" * 32 + b"\x01"
KINDS = ["p2wpkh", "p2pkh", "p2sh_p2wpkh", "p2sh_multisig", "p2wsh_multisig"]


def push(data: bytes) -> bytes:
    assert len(data) < 256
    return (bytes([len(data)]) if len(data) < 76 else b"\x4c" + bytes([len(data)])) + data


@dataclass(frozen=True)
class Wallet:
    """A script and the way to spend from it."""

    name: str
    kind: str

    def key(self, number: int = 0) -> bytes:
        return b"\x02" + hashlib.sha256(f"{self.name} {self.kind} {number}".encode()).digest()

    @property
    def multisig(self) -> bytes:
        return b"\x51" + push(self.key(0)) + push(self.key(1)) + b"\x52\xae"

    @property
    def script(self) -> bytes:
        witness_key = b"\x00\x14" + Hash160(self.key())
        return {
            "p2wpkh": witness_key,
            "p2pkh": b"\x76\xa9\x14" + Hash160(self.key()) + b"\x88\xac",
            "p2sh_p2wpkh": b"\xa9\x14" + Hash160(witness_key) + b"\x87",
            "p2sh_multisig": b"\xa9\x14" + Hash160(self.multisig) + b"\x87",
            "p2wsh_multisig": b"\x00\x20" + hashlib.sha256(self.multisig).digest(),
            "p2tr": b"\x51\x20" + self.key()[1:],
        }[self.kind]

    def coin(self, number: int) -> Coin:
        """One of many coins that lie there."""
        outpoint = hashlib.sha256(f"{self.name} {self.kind} coin {number}".encode()).digest() + struct.pack("<I", 1)
        witness_key = push(b"\x00\x14" + Hash160(self.key()))
        return {
            "p2wpkh": Coin(outpoint, b"", (SIGNATURE, self.key())),
            "p2pkh": Coin(outpoint, push(SIGNATURE) + push(self.key())),
            "p2sh_p2wpkh": Coin(outpoint, witness_key, (SIGNATURE, self.key())),
            "p2sh_multisig": Coin(outpoint, b"\x00" + push(SIGNATURE) + push(self.multisig)),
            "p2wsh_multisig": Coin(outpoint, b"", (b"", SIGNATURE, self.multisig)),
            "p2tr": Coin(outpoint, b"", (b"\x33" * 64,)),
        }[self.kind]


# Two houses with a wallet of every kind, and strangers.
ACME, BANK, STRANGER = ([Wallet(name, kind) for kind in [*KINDS, "p2tr"]] for name in ("acme", "bank", "stranger"))
HIDDEN = STRANGER[-1]


def table() -> WatchTable:
    watch = WatchTable(64)
    for house, name in ((ACME, "acme"), (BANK, "bank")):
        for wallet in house:
            watch.add(wallet.script, name)
    return watch


def told(stage: Stage, engine: Engine, *txs: Tx) -> list[Signal | OrderEvent]:
    """All that is told of these transactions."""
    for tx in txs:
        stage.peer.deliver(tx)
        stage.peer.settle()
    found: list[Signal | OrderEvent] = []
    while (event := engine.next_event(0)) is not None:
        if isinstance(event, Signal | OrderEvent):
            found.append(event)
        else:
            assert isinstance(event, PeerEvent | VenueEvent)
    return found


@pytest.fixture
def engine(stage: Stage) -> Engine:
    return stage.start_peer(watch=table(), dry_run=True, whale_min_sat=50 * COIN)


@pytest.mark.parametrize("sender", ACME[:-1], ids=KINDS)
def test_change_is_no_deposit(stage: Stage, engine: Engine, sender: Wallet) -> None:
    """One peel after the other: a little goes out, the rest returns, to the same script or to another of the house."""
    for i, home in enumerate([sender, ACME[0], ACME[4], ACME[-1]]):
        (event,) = told(stage, engine, rig.spend([sender.coin(i)], [(COIN, HIDDEN.script), (9 * COIN, home.script)]))
        assert isinstance(event, WithdrawalEvent)
        assert (event.label, event.amount_sat, event.recipients) == ("acme", COIN, ())
        assert (event.certain, event.inputs, event.inputs_own, event.inputs_known) == (True, 1, 1, 1)
    assert engine.stats().withdrawals == 4
    assert engine.stats().deposits == 0


@pytest.mark.parametrize("sender", ACME[:-1], ids=KINDS)
def test_moves_within_one_house(stage: Stage, engine: Engine, sender: Wallet) -> None:
    outputs = [(3 * COIN, ACME[1].script), (0, b"\x6a\x04memo"), (2 * COIN, ACME[-1].script)]
    (event,) = told(stage, engine, rig.spend([sender.coin(0), ACME[3].coin(0)], outputs))
    assert isinstance(event, InternalEvent)
    assert (event.label, event.amount_sat) == ("acme", 5 * COIN)
    assert (event.certain, event.inputs, event.inputs_own, event.inputs_known) == (True, 2, 2, 2)
    assert engine.stats().internals == 1


def test_one_satoshi_for_others_makes_it_a_withdrawal(stage: Stage, engine: Engine) -> None:
    outputs = [(3 * COIN, ACME[1].script), (1, HIDDEN.script)]
    (event,) = told(stage, engine, rig.spend([ACME[0].coin(0)], outputs))
    assert isinstance(event, WithdrawalEvent)
    assert event.amount_sat == 1


def test_between_houses(stage: Stage, engine: Engine) -> None:
    outputs = [(4 * COIN, BANK[2].script), (COIN, ACME[1].script), (2 * COIN, STRANGER[0].script)]
    deposit, withdrawal = told(stage, engine, rig.spend([ACME[0].coin(0)], outputs))
    assert isinstance(deposit, DepositEvent)
    assert (deposit.label, deposit.amount_sat, deposit.senders, deposit.output) == ("bank", 4 * COIN, ("acme",), 0)
    assert deposit.certain
    assert isinstance(withdrawal, WithdrawalEvent)
    assert (withdrawal.label, withdrawal.amount_sat, withdrawal.recipients) == ("acme", 6 * COIN, ("bank",))


@pytest.mark.parametrize("known", [*STRANGER[:-1], None], ids=[*KINDS, "none"])
def test_deposits_say_how_certain_they_are(stage: Stage, engine: Engine, known: Wallet | None) -> None:
    sender = known or HIDDEN
    (event,) = told(stage, engine, rig.spend([sender.coin(1)], [(COIN, ACME[0].script)]))
    assert isinstance(event, DepositEvent)
    assert (event.inputs, event.inputs_known, event.certain) == (1, int(known is not None), known is not None)
    assert event.inputs_taproot == (known is None)
    (event,) = told(stage, engine, rig.spend([sender.coin(2), HIDDEN.coin(3)], [(2 * COIN, ACME[0].script)]))
    assert isinstance(event, DepositEvent)
    assert not event.certain
    assert (event.inputs, event.inputs_known) == (2, int(known is not None))
    assert event.inputs_taproot == 2 - event.inputs_known


def test_an_owner_beside_hidden_inputs(stage: Stage, engine: Engine) -> None:
    """One input that shows its owner is enough, whatever the others are."""
    coins = [HIDDEN.coin(1), ACME[1].coin(0), HIDDEN.coin(2)]
    (event,) = told(stage, engine, rig.spend(coins, [(9 * COIN, ACME[1].script), (COIN, HIDDEN.script)]))
    assert isinstance(event, WithdrawalEvent)
    assert (event.amount_sat, event.certain) == (COIN, False)
    assert (event.inputs, event.inputs_own, event.inputs_known, event.inputs_taproot) == (3, 1, 1, 2)


def test_two_houses_spend_together(stage: Stage, engine: Engine) -> None:
    coins = [ACME[0].coin(0), BANK[0].coin(0)]
    events = told(stage, engine, rig.spend(coins, [(2 * COIN, ACME[1].script), (3 * COIN, STRANGER[0].script)]))
    assert all(isinstance(event, WithdrawalEvent) and not event.certain for event in events)
    assert {(e.label, e.amount_sat) for e in events if isinstance(e, WithdrawalEvent)} == {
        ("acme", 3 * COIN), ("bank", 5 * COIN),
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_inputs_behind_the_limit_are_unknown(stage: Stage, limit: int) -> None:
    engine = stage.start_peer(watch=table(), limits={"inputs": limit})
    coins = [STRANGER[0].coin(0), STRANGER[1].coin(0), ACME[0].coin(0)]
    (event,) = told(stage, engine, rig.spend(coins, [(COIN, ACME[1].script), (COIN, HIDDEN.script)]))
    assert isinstance(event, WithdrawalEvent if limit == 3 else DepositEvent)
    assert event.inputs_known == limit


def test_more_owners_than_are_told_apart(stage: Stage) -> None:
    """64 senders are kept apart; the inputs of the 65th count as unknown."""
    wallets = [Wallet(f"house {i}", "p2wpkh") for i in range(65)]
    watch = WatchTable(128)
    for i, wallet in enumerate(wallets):
        watch.add(wallet.script, f"house {i}")
    engine = stage.start_peer(watch=watch)
    events = told(stage, engine, rig.spend([w.coin(0) for w in wallets], [(COIN, HIDDEN.script)]))
    assert len(events) == 64
    assert all(isinstance(e, WithdrawalEvent) and (e.inputs, e.inputs_known) == (65, 64) for e in events)


def test_whales_are_from_nobody_known_to_nobody_known(stage: Stage, engine: Engine) -> None:
    large = (60 * COIN, STRANGER[2].script)
    (event,) = told(stage, engine, rig.spend([STRANGER[0].coin(0)], [large, (50 * COIN, STRANGER[1].script)]))
    assert isinstance(event, WhaleEvent)
    assert (event.amount_sat, event.certain) == (60 * COIN, True)
    (event,) = told(stage, engine, rig.spend([HIDDEN.coin(0)], [large]))
    assert isinstance(event, WhaleEvent)
    assert (event.certain, event.inputs_taproot) == (False, 1)
    (event,) = told(stage, engine, rig.spend([ACME[0].coin(0)], [large]))
    assert isinstance(event, WithdrawalEvent)
    (event,) = told(stage, engine, rig.spend([STRANGER[0].coin(1)], [(60 * COIN, ACME[0].script)]))
    assert isinstance(event, DepositEvent)
    whale, deposit = told(stage, engine, rig.spend([STRANGER[0].coin(2)], [large, (COIN, ACME[0].script)]))
    assert isinstance(whale, WhaleEvent)
    assert isinstance(deposit, DepositEvent)
    assert told(stage, engine, rig.spend([HIDDEN.coin(3)], [(49 * COIN, HIDDEN.script)])) == []


def test_withdrawals_that_pay_nobody_watched_can_be_left_out(stage: Stage) -> None:
    engine = stage.start_peer(watch=table(), withdrawals=False)
    assert told(stage, engine, rig.spend([ACME[0].coin(0)], [(COIN, HIDDEN.script)])) == []
    (event,) = told(stage, engine, rig.spend([ACME[0].coin(1)], [(COIN, HIDDEN.script), (COIN, ACME[0].script)]))
    assert isinstance(event, WithdrawalEvent)


def test_another_witness_changes_nothing(stage: Stage, engine: Engine) -> None:
    """The txid names what was withdrawn, also where the same comes again under another wtxid."""
    tx = rig.spend([ACME[0].coin(0)], [(COIN, HIDDEN.script)])
    coin = ACME[0].coin(0)
    other = rig.spend([Coin(coin.outpoint, b"", (SIGNATURE[:-1] + b"\x03", coin.witness[1]))], [(COIN, HIDDEN.script)])
    assert tx.txid == other.txid
    assert tx.wtxid != other.wtxid
    (event,) = told(stage, engine, tx, other)
    assert isinstance(event, WithdrawalEvent)


# ---- what rules make of it ----


def orders(stage: Stage, **changes: object) -> list[str]:
    """What a rule does for: a certain deposit, an uncertain one, change, a move within one house, one to another."""
    engine = stage.start(watch=table(), dry_run=True, rules=[rig.rule(min_sat=COIN, **changes)])
    cases = {
        "certain": rig.spend([STRANGER[0].coin(0)], [(2 * COIN, ACME[0].script)]),
        "uncertain": rig.spend([STRANGER[0].coin(1), HIDDEN.coin(0)], [(2 * COIN, ACME[0].script)]),
        "change": rig.spend([ACME[3].coin(0)], [(2 * COIN, ACME[0].script), (COIN, HIDDEN.script)]),
        "internal": rig.spend([ACME[1].coin(0)], [(2 * COIN, ACME[0].script), (COIN // 2, ACME[1].script)]),
        "internal, split": rig.spend([ACME[1].coin(1)], [(COIN // 2, ACME[0].script), (COIN // 2, ACME[1].script)]),
        "other house": rig.spend([BANK[1].coin(0)], [(2 * COIN, ACME[0].script)]),
    }
    acted = []
    for name, tx in cases.items():
        events = told(stage, engine, tx)
        assert len(events) >= 1
        if isinstance(events[0], OrderEvent):
            assert (events[0].state, events[0].amount_sat) == ("dry_run", 2 * COIN)
            acted.append(name)
        assert not any(isinstance(event, OrderEvent) for event in events[1:])
    return acted


def test_rules_act_on_deposits(stage: Stage) -> None:
    assert orders(stage) == ["certain", "uncertain", "other house"]


def test_rules_that_want_certainty(stage: Stage) -> None:
    assert orders(stage, certain_only=True) == ["certain", "other house"]


def test_rules_that_ask_for_moves_within_one_house(stage: Stage) -> None:
    assert orders(stage, internal=True) == ["certain", "uncertain", "internal", "other house"]


def test_a_rule_looks_past_change(stage: Stage) -> None:
    """The largest payment is change; the rule acts on the next that counts."""
    engine = stage.start(watch=table(), dry_run=True, rules=[rig.rule(min_sat=COIN)])
    outputs = [(9 * COIN, ACME[0].script), (2 * COIN, BANK[0].script), (3 * COIN, BANK[1].script)]
    order, *signals = told(stage, engine, rig.spend([ACME[0].coin(0)], outputs))
    assert isinstance(order, OrderEvent)
    assert order.amount_sat == 3 * COIN
    assert [type(signal) for signal in signals] == [DepositEvent, DepositEvent, WithdrawalEvent]
