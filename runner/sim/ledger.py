"""What the delivered transactions are and call for, by the simulators' own rules: what the engine has to match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.sim.serialize import Tx, TxInput
from runner.sim.traffic import Deposit, deposits, senders


@dataclass(frozen=True, slots=True, order=True)
class Revocation:
    """A deposit of `replaces` to one owner that `txid`, spending the same coins, makes no more."""

    txid: str
    replaces: str
    label: str
    amount_sat: int


class Ledger:
    """Takes the transactions in the order of their delivery.

    min_sat: of the one rule, which orders once for a deposit that large, whatever else spends the same coins.
    """

    def __init__(self, watched: Mapping[bytes, str], min_sat: int) -> None:
        self._watched = watched
        self._min_sat = min_sat
        self._spent: dict[tuple[bytes, int], str] = {}
        self._paid: dict[str, dict[str, int]] = {}
        self._leader: dict[str, str] = {}  # of those that exclude each other, as a forest
        self._ordered: set[str] = set()  # leaders
        self.deposits: list[Deposit] = []
        self.orders: list[str] = []  # txids
        self.withdrawals: set[tuple[str, str]] = set()  # txid, label
        self.internals: set[tuple[str, str]] = set()
        self.replacements: set[tuple[str, str]] = set()  # txid, the earlier one's
        self.revocations: set[Revocation] = set()

    def add(self, tx: Tx) -> None:
        """The next transaction."""
        found = deposits(tx, self._watched)
        paid: dict[str, int] = {}
        for deposit in found:
            paid[deposit.label] = paid.get(deposit.label, 0) + deposit.amount_sat
        self._paid[tx.txid] = paid
        earlier = {self._spent[coin] for coin in map(_coin, tx.inputs) if coin in self._spent}
        for other in earlier:
            self.replacements.add((tx.txid, other))
            self._revoke(tx.txid, other)
        for other in earlier:
            self._join(tx.txid, other)
        self._spent.update(dict.fromkeys(map(_coin, tx.inputs), tx.txid))
        self.deposits += found
        group = self._find(tx.txid)
        if group not in self._ordered and any(deposit.amount_sat >= self._min_sat for deposit in found):
            self._ordered.add(group)
            self.orders.append(tx.txid)
        self._note_senders(tx)

    def _note_senders(self, tx: Tx) -> None:
        total = sum(output.value for output in tx.outputs)
        for label in senders(tx, self._watched):
            own = sum(output.value for output in tx.outputs if self._watched.get(output.script) == label)
            (self.internals if own == total else self.withdrawals).add((tx.txid, label))

    def _revoke(self, txid: str, other: str) -> None:
        for label, amount in self._paid[other].items():
            ordered = self._find(other) in self._ordered and amount >= self._min_sat
            if self._paid[txid].get(label, 0) < (self._min_sat if ordered else 1):
                self.revocations.add(Revocation(txid, other, label, amount))

    def _find(self, txid: str) -> str:
        while (leader := self._leader.setdefault(txid, txid)) != txid:
            txid = leader
        return txid

    def _join(self, one: str, other: str) -> None:
        first, second = self._find(one), self._find(other)
        self._leader[first] = second
        if first in self._ordered:
            self._ordered.add(second)


def _coin(txin: TxInput) -> tuple[bytes, int]:
    return txin.prev_txid, txin.prev_index
