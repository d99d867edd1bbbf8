"""Transactions for the simulated peers: made up with a seed, or read from a file; and what they pay to whom.

Everything here is plain Python and knows nothing of hftcore, because the demo and the tests compute from it which
orders the engine has to send.
"""

from __future__ import annotations

import hashlib
import random
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

COIN = 100_000_000
_DUST = 546
_TX_MIN, _TX_MAX = 60, 4_000_000


@dataclass(frozen=True, slots=True, order=True)
class Deposit:
    """What one transaction pays, in total, to one watched script."""

    txid: str
    script: bytes
    amount_sat: int
    label: str


def deposits(tx: Tx, watched: Mapping[bytes, str]) -> list[Deposit]:
    """The deposits in tx, one per watched script, in the order of their first output."""
    sums: dict[bytes, int] = {}
    for output in tx.outputs:
        if output.script in watched:
            sums[output.script] = sums.get(output.script, 0) + output.value
    return [Deposit(tx.txid, script, amount, watched[script]) for script, amount in sums.items()]


def client_order_id(rule: int, txid: str) -> str:
    """The client order id that a signal must lead to: rule index and txid decide it, so no signal orders twice."""
    return f"h{rule:02x}-{txid[:24]}"


# ---- scripts ----


def p2pk(key: bytes) -> bytes:
    """Pay to a public key of 33 or 65 bytes."""
    return push(key) + b"\xac"


def p2pkh(key_hash: bytes) -> bytes:
    """Pay to the HASH160 of a public key."""
    return b"\x76\xa9\x14" + key_hash + b"\x88\xac"


def p2sh(script_hash: bytes) -> bytes:
    """Pay to the HASH160 of a script."""
    return b"\xa9\x14" + script_hash + b"\x87"


def witness_program(version: int, program: bytes) -> bytes:
    """A witness program: version 0 with 20 (P2WPKH) or 32 bytes (P2WSH), version 1 with 32 (P2TR), or unknown ones."""
    return bytes((version + 0x50 if version else 0,)) + push(program)


def multisig(required: int, keys: Sequence[bytes]) -> bytes:
    """Bare multisig."""
    return bytes((0x50 + required,)) + b"".join(map(push, keys)) + bytes((0x50 + len(keys), 0xAE))


def op_return(data: bytes) -> bytes:
    """A data carrier, unspendable."""
    return b"\x6a" + push(data)


def demo_watch_list() -> dict[bytes, str]:
    """Made-up wallets of made-up owners, of every script type: scriptPubKey -> label.

    The keys are hashes of the labels, so nobody owns them, and no real address is presented as anybody's.
    """

    def digest(name: str, size: int = 32) -> bytes:
        return hashlib.sha256(f"hftcore demo wallet {name}".encode()).digest()[:size]

    table: dict[bytes, str] = {}
    for owner in ("Binance (demo)", "Kraken (demo)", "Coinbase (demo)"):
        keys = [b"\x02" + digest(f"{owner} key {i}") for i in range(3)]
        for script in (
            p2pk(keys[0]),
            p2pkh(digest(f"{owner} p2pkh", 20)),
            p2sh(digest(f"{owner} p2sh", 20)),
            witness_program(0, digest(f"{owner} p2wpkh", 20)),
            witness_program(0, digest(f"{owner} p2wsh")),
            witness_program(1, digest(f"{owner} p2tr")),
            multisig(2, keys),
            witness_program(2, digest(f"{owner} future")),
        ):
            table[script] = owner
    return table


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
    """

    def __init__(
        self, *, seed: int, watched: Mapping[bytes, str], threshold_sat: int = COIN, deposit_share: float = 0.04
    ) -> None:
        self._random = random.Random(seed)
        self._watched = list(watched)
        self._threshold = threshold_sat
        self._deposit_share = deposit_share if self._watched else 0.0

    def __iter__(self) -> Iterator[Tx]:
        while True:
            yield self.make()

    def make(self) -> Tx:
        """The next transaction."""
        rng = self._random
        inputs = [self._input() for _ in range(self._count(((1, 72), (2, 15), (5, 10), (40, 3))))]
        outputs = [self._output() for _ in range(self._count(((2, 78), (1, 10), (5, 9), (30, 2), (400, 1))))]
        if rng.random() < self._deposit_share:
            self._add_deposit(outputs)
        locktime = rng.randrange(840_000, 900_000) if rng.random() < 0.3 else 0
        return encode(inputs, outputs, version=rng.choice((1, 2, 2, 2)), locktime=locktime)

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
        """The size of a DER signature with its hash type; 71 or 72 bytes mostly, low-R half the time."""
        return b"\x30" + self._random.randbytes(self._random.choice((69, 70, 70, 71)) - 1) + b"\x01\x01"

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
