"""Transactions for the simulated peers: made up with a seed, or read from a file; and what they pay to whom.

Everything here is plain Python and knows nothing of hftcore, because the demo and the tests compute from it which
orders the engine has to send.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.sim.serialize import (
    DecodeError,
    Reader,
    Tx,
    TxInput,
    TxOutput,
    decode,
    encode,
    merkle_root,
    push,
    read_tx,
)
from runner.sim.wallets import (
    Wallet,
    demo_wallets,
    multisig,
    op_return,
    owner_of,
    p2pk,
    p2pkh,
    p2sh,
    signature,
    witness_program,
)

COIN = 100_000_000
_DUST = 546
_TX_MIN, _TX_MAX = 60, 4_000_000
_GAP = 400  # transactions between one and its replacement: enough that nobody can see them in the other order


@dataclass(frozen=True, slots=True, order=True)
class Deposit:
    """What one transaction pays, in total, to one watched script."""

    txid: str
    script: bytes
    amount_sat: int
    label: str


def senders(tx: Tx, watched: Mapping[bytes, str]) -> set[str]:
    """The watched owners whom the inputs show."""
    scripts = map(owner_of, tx.inputs)
    return {watched[script] for script in scripts if script is not None and script in watched}


def deposits(tx: Tx, watched: Mapping[bytes, str]) -> list[Deposit]:
    """The deposits in tx, one per watched script whose owner does not spend, in the order of their first output."""
    sums: dict[bytes, int] = {}
    for output in tx.outputs:
        if output.script in watched:
            sums[output.script] = sums.get(output.script, 0) + output.value
    own = senders(tx, watched) if sums else ()
    return [
        Deposit(tx.txid, script, amount, watched[script])
        for script, amount in sums.items()
        if watched[script] not in own
    ]


def client_order_id(rule: int, txid: str) -> str:
    """The client order id that a signal must lead to: rule index and txid decide it, so no signal orders twice."""
    return f"h{rule:02x}-{txid[:24]}"


def demo_watch_list() -> dict[bytes, str]:
    """Made-up wallets of made-up owners, of every script type: scriptPubKey -> label; see demo_wallets."""
    return {wallet.script: wallet.owner for wallet in demo_wallets()}


# ---- making transactions up ----

# Shares of output and input types, near those of mainnet blocks of 2024.
_OUTPUT_TYPES = {
    "p2wpkh": 400, "p2tr": 220, "p2sh": 140, "p2pkh": 130, "p2wsh": 40, "op_return": 50, "p2pk": 6, "multisig": 8,
    "unknown": 6,
}  # fmt: skip
_INPUT_TYPES = {
    "p2wpkh": 430, "p2tr": 240, "p2pkh": 120, "p2sh_p2wpkh": 100, "p2wsh": 60, "p2sh": 25, "p2tr_script": 20, "p2pk": 5,
}  # fmt: skip


class Generator:
    """An endless stream of realistic transactions; the same seed gives the same stream.

    watched: scriptPubKey -> label of the wallets that get paid; threshold_sat: deposits lie around it, on both sides,
    and now and then exactly on it; deposit_share: share of transactions that pay a watched wallet.
    wallets: some of the watched ones that can be spent from; house_share: share of transactions that do, moving within
    one house, peeling off payments, or paying another house. conflict_share: share of deposits that are replaced,
    _GAP transactions later, by another payment of the same coins, to the same wallets or to others.
    """

    def __init__(
        self,
        *,
        seed: int,
        watched: Mapping[bytes, str],
        threshold_sat: int = COIN,
        deposit_share: float = 0.04,
        wallets: Sequence[Wallet] = (),
        house_share: float = 0.0,
        conflict_share: float = 0.0,
    ) -> None:
        self._random = random.Random(seed)
        self._watched = list(watched)
        self._threshold = threshold_sat
        self._deposit_share = deposit_share if self._watched else 0.0
        self._wallets = [wallet for wallet in wallets if wallet.can_spend]
        self._homes = wallets
        self._house_share = house_share if self._wallets else 0.0
        self._conflict_share = conflict_share
        self._made = 0
        self._peeled: dict[Wallet, tuple[bytes, int]] = {}  # where the rest of a chain lies
        self._replaced: deque[tuple[int, list[TxInput], list[TxOutput]]] = deque()

    def __iter__(self) -> Iterator[Tx]:
        while True:
            yield self.make()

    def make(self) -> Tx:
        """The next transaction."""
        rng = self._random
        self._made += 1
        if self._replaced and self._replaced[0][0] <= self._made:
            return self._replacement()
        if self._house_share and rng.random() < self._house_share:
            return self._house_move()
        inputs = [self._input() for _ in range(self._count(((1, 72), (2, 15), (5, 10), (40, 3))))]
        outputs = [self._output() for _ in range(self._count(((2, 78), (1, 10), (5, 9), (30, 2), (400, 1))))]
        if rng.random() < self._deposit_share:
            self._add_deposit(outputs)
            if self._conflict_share and rng.random() < self._conflict_share:
                self._replaced.append((self._made + _GAP, inputs, outputs))
        locktime = rng.randrange(840_000, 900_000) if rng.random() < 0.3 else 0
        return encode(inputs, outputs, version=rng.choice((1, 2, 2, 2)), locktime=locktime)

    def _replacement(self) -> Tx:
        """The same coins once more, with a higher fee: still for the wallet, for another one, or taken back."""
        rng = self._random
        _, inputs, outputs = self._replaced.popleft()
        (kind,) = rng.choices(("bump", "elsewhere", "back"), (50, 15, 35))
        scripts = {"bump": None, "elsewhere": rng.choice(self._watched), "back": self._script("p2wpkh")}
        outputs = [
            TxOutput(out.value, scripts[kind] or out.script) if out.script in self._watched else out for out in outputs
        ]
        outputs.append(TxOutput(_DUST, self._script("p2wpkh")))
        inputs = [*inputs[: rng.randint(1, len(inputs))], self._input()]
        if rng.random() < 0.4:
            self._replaced.append((self._made + _GAP, inputs, outputs))
        return encode(inputs, outputs)

    def _house_move(self) -> Tx:
        rng = self._random
        (kind,) = rng.choices(("internal", "peel", "other house"), (35, 45, 20))
        wallet = rng.choice(self._wallets)
        prev_txid, prev_index = self._peeled.pop(wallet, (rng.randbytes(32), rng.randrange(3)))
        inputs = [wallet.coin(prev_txid, prev_index)]
        inputs += [rng.choice(self._own(wallet)).coin(rng.randbytes(32), 0) for _ in range(rng.choice((0, 0, 1, 4)))]
        inputs += [self._input() for _ in range(rng.choice((0, 0, 0, 1)))]
        outputs = [TxOutput(self._deposit_amount(), wallet.script)]
        if kind == "internal":
            homes = [home for home in self._homes if home.owner == wallet.owner]
            outputs += [TxOutput(self._deposit_amount(), rng.choice(homes).script) for _ in range(rng.randint(0, 2))]
        elif kind == "peel":
            outputs.append(TxOutput(self._amount(), self._script("p2wpkh")))
        else:
            others = [home for home in self._homes if home.owner != wallet.owner]
            outputs.append(TxOutput(self._deposit_amount(), rng.choice(others).script))
        tx = encode(inputs, outputs)
        if kind == "peel":
            self._peeled[wallet] = (tx.wire_txid, 0)
        return tx

    def _own(self, wallet: Wallet) -> list[Wallet]:
        return [other for other in self._wallets if other.owner == wallet.owner]

    def _count(self, shares: Sequence[tuple[int, int]]) -> int:
        """1 or 2 mostly; a larger bound means anything from 3 up to it."""
        (bound,) = self._random.choices([n for n, _ in shares], [share for _, share in shares])
        return bound if bound <= 2 else self._random.randint(3, bound)

    def _amount(self) -> int:
        """Log-normal around 0.02 BTC, from dust to some thousand BTC."""
        return min(max(int(self._random.lognormvariate(14.5, 2.2)), _DUST), 5_000 * COIN)

    def _key(self) -> bytes:
        return self._random.choice((b"\x02", b"\x03")) + self._random.randbytes(32)

    def _signature(self) -> bytes:
        return signature(self._random)

    def _output(self) -> TxOutput:
        (kind,) = self._random.choices(list(_OUTPUT_TYPES), list(_OUTPUT_TYPES.values()))
        if kind == "op_return":
            return TxOutput(0, op_return(self._random.randbytes(self._random.choice((8, 20, 32, 40, 80)))))
        return TxOutput(self._amount(), self._script(kind))

    def _script(self, kind: str) -> bytes:
        rng = self._random
        if kind == "p2pk":
            return p2pk(self._key() if rng.random() < 0.5 else b"\x04" + rng.randbytes(64))
        if kind == "multisig":
            return multisig(rng.choice((1, 2)), [self._key() for _ in range(rng.choice((2, 3)))])
        if kind == "unknown":
            return witness_program(rng.randint(2, 16), rng.randbytes(rng.randint(2, 40)))
        return {
            "p2pkh": lambda: p2pkh(rng.randbytes(20)),
            "p2sh": lambda: p2sh(rng.randbytes(20)),
            "p2wpkh": lambda: witness_program(0, rng.randbytes(20)),
            "p2wsh": lambda: witness_program(0, rng.randbytes(32)),
            "p2tr": lambda: witness_program(1, rng.randbytes(32)),
        }[kind]()

    def _input(self) -> TxInput:
        rng = self._random
        (kind,) = rng.choices(list(_INPUT_TYPES), list(_INPUT_TYPES.values()))
        script, witness = b"", tuple[bytes, ...]()
        if kind == "p2pkh":
            script = push(self._signature()) + push(self._key())
        elif kind == "p2pk":
            script = push(self._signature())
        elif kind == "p2sh":
            redeem = multisig(2, [self._key() for _ in range(3)])
            script = b"\x00" + push(self._signature()) + push(self._signature()) + push(redeem)
        else:
            script, witness = self._witness(kind)
        sequence = rng.choice((0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF))
        return TxInput(rng.randbytes(32), rng.choice((0, 0, 1, 1, rng.randrange(300))), script, sequence, witness)

    def _witness(self, kind: str) -> tuple[bytes, tuple[bytes, ...]]:
        rng = self._random
        if kind == "p2tr":
            return b"", (rng.randbytes(rng.choice((64, 64, 64, 65))),)
        if kind == "p2tr_script":  # now and then with the bulk of an inscription
            leaf = rng.randbytes(rng.choice((35, 70, 200, 520, 3000)))
            return b"", (rng.randbytes(64), leaf, b"\xc0" + rng.randbytes(32 + 32 * rng.randint(0, 3)))
        if kind == "p2wsh":
            script = multisig(2, [self._key() for _ in range(3)])
            return b"", (b"", self._signature(), self._signature(), script)
        script_sig = push(witness_program(0, rng.randbytes(20))) if kind == "p2sh_p2wpkh" else b""
        return script_sig, (self._signature(), self._key())

    def _add_deposit(self, outputs: list[TxOutput]) -> None:
        """Pays a watched wallet: alone, twice, two wallets at once, or as one among very many."""
        rng = self._random
        script = rng.choice(self._watched)
        (shape,) = rng.choices(("single", "split", "two", "many"), (70, 12, 8, 10))
        if shape == "many":
            outputs.extend(self._output() for _ in range(rng.randint(20, 120)))
        paid = [TxOutput(self._deposit_amount(), script)]
        if shape == "split":  # the sum counts: often neither part reaches the threshold alone
            whole = max(paid[0].value, 2 * _DUST)
            first = rng.randint(_DUST, whole - _DUST)
            paid = [TxOutput(first, script), TxOutput(whole - first, script)]
        elif shape == "two":
            paid.append(TxOutput(self._deposit_amount(), rng.choice(self._watched)))
        for output in paid:
            outputs.insert(rng.randint(0, len(outputs)), output)

    def _deposit_amount(self) -> int:
        """From a hundredth to a hundred times the threshold, even on a log scale; sometimes on it or just below."""
        rng = self._random
        if rng.random() < 0.1:
            return max(self._threshold - rng.choice((0, 0, 1)), 1)
        return max(int(self._threshold * 10 ** rng.uniform(-2, 2)), _DUST)


# ---- reading transactions ----


def load_transactions(path: Path) -> list[Tx]:
    """The transactions in a file: u32 LE count, then per transaction u32 LE length and bytes; or one raw block.

    The two are told apart by proof, not by name: a list must be consumed exactly by its own lengths, a block must
    have the merkle root that its header states. Raises DecodeError (a ValueError) naming the file and what is wrong.
    """
    data = path.read_bytes()
    try:
        raws = _split_list(data)
    except DecodeError as list_error:
        try:
            return _read_block(data)
        except DecodeError as block_error:
            raise DecodeError(
                f"{path}: neither a transaction list ({list_error}) nor a raw block ({block_error})"
            ) from None
    result = []
    for i, raw in enumerate(raws):
        try:
            result.append(decode(raw))
        except DecodeError as error:
            raise DecodeError(f"{path}: transaction {i}: {error}") from None
    return result


def _split_list(data: bytes) -> list[bytes]:
    reader = Reader(data)
    count = reader.u32("transaction count")
    if count == 0 or count > len(data) // (_TX_MIN + 4):
        raise DecodeError(f"a count of {count} in a file of {len(data)} bytes")
    raws = []
    for i in range(count):
        length = reader.u32(f"length of transaction {i}")
        if not _TX_MIN <= length <= _TX_MAX:
            raise DecodeError(f"transaction {i} of {length} bytes")
        raws.append(reader.take(length, f"transaction {i}"))
    if reader.pos != len(data):
        raise DecodeError(f"{len(data) - reader.pos} bytes behind the last transaction")
    return raws


def _read_block(data: bytes) -> list[Tx]:
    reader = Reader(data)
    header = reader.take(80, "block header")
    count = reader.compact_size("transaction count")
    if count == 0 or count > len(data) // _TX_MIN:
        raise DecodeError(f"a block of {count} transactions in {len(data)} bytes")
    transactions = [read_tx(reader) for _ in range(count)]
    if reader.pos != len(data):
        raise DecodeError(f"{len(data) - reader.pos} bytes behind the block")
    if merkle_root([tx.wire_txid for tx in transactions]) != header[36:68]:
        raise DecodeError("its header states another merkle root")
    return transactions
