"""Bitcoin transactions in plain Python: written and read with struct and hashlib only.

The simulators and the demo's expectations stand on this module, so that hftcore's C core is never judged by itself.
Formats: BIP144 (witness serialisation), Bitcoin Core's CompactSize.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

MONEY_MAX = 21_000_000 * 100_000_000


class DecodeError(ValueError):
    """Bytes that are not what they should be; the message says where and why."""


@dataclass(frozen=True, slots=True)
class TxInput:
    """One input: the outpoint it spends (32 bytes in wire order, index), scriptSig, sequence, witness stack."""

    prev_txid: bytes
    prev_index: int
    script: bytes = b""
    sequence: int = 0xFFFFFFFD
    witness: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class TxOutput:
    """One output: satoshi and raw scriptPubKey."""

    value: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction: its wire bytes and what they say. txid and wtxid are hex in display order."""

    raw: bytes
    stripped: bytes
    txid: str
    wtxid: str
    inputs: tuple[TxInput, ...]
    outputs: tuple[TxOutput, ...]

    @property
    def wire_txid(self) -> bytes:
        """The txid in wire order, as inv and getdata carry it."""
        return bytes.fromhex(self.txid)[::-1]

    @property
    def wire_wtxid(self) -> bytes:
        """The wtxid in wire order."""
        return bytes.fromhex(self.wtxid)[::-1]


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256, by hashlib."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(value: int) -> bytes:
    """The canonical CompactSize of value: 1, 3, 5 or 9 bytes."""
    if value < 0xFD:
        return bytes((value,))
    if value <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", value)
    if value <= 0xFFFFFFFF:
        return b"\xfe" + struct.pack("<I", value)
    return b"\xff" + struct.pack("<Q", value)


def push(data: bytes) -> bytes:
    """The script bytes that push data (up to 65535 bytes)."""
    if len(data) < 0x4C:
        return bytes((len(data),)) + data
    if len(data) <= 0xFF:
        return b"\x4c" + bytes((len(data),)) + data
    return b"\x4d" + struct.pack("<H", len(data)) + data


def _var_bytes(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def encode(inputs: Sequence[TxInput], outputs: Sequence[TxOutput], *, version: int = 2, locktime: int = 0) -> Tx:
    """A transaction in wire format, with witness (BIP144) if any input has one."""
    body = compact_size(len(inputs)) + b"".join(
        txin.prev_txid + struct.pack("<I", txin.prev_index) + _var_bytes(txin.script) + struct.pack("<I", txin.sequence)
        for txin in inputs
    )
    body += compact_size(len(outputs)) + b"".join(
        struct.pack("<q", txout.value) + _var_bytes(txout.script) for txout in outputs
    )
    head, tail = struct.pack("<i", version), struct.pack("<I", locktime)
    stripped = head + body + tail
    raw = stripped
    if any(txin.witness for txin in inputs):
        witness = b"".join(compact_size(len(txin.witness)) + b"".join(map(_var_bytes, txin.witness)) for txin in inputs)
        raw = head + b"\x00\x01" + body + witness + tail
    return _tx(raw, stripped, tuple(inputs), tuple(outputs))


def _tx(raw: bytes, stripped: bytes, inputs: tuple[TxInput, ...], outputs: tuple[TxOutput, ...]) -> Tx:
    txid = sha256d(stripped)[::-1].hex()
    wtxid = txid if raw is stripped else sha256d(raw)[::-1].hex()
    return Tx(raw, stripped, txid, wtxid, inputs, outputs)


class Reader:
    """Reads little-endian fields from bytes; every refusal names the position."""

    def __init__(self, data: bytes, pos: int = 0) -> None:
        self.data = data
        self.pos = pos

    def take(self, n: int, what: str) -> bytes:
        """The next n bytes."""
        end = self.pos + n
        if n > len(self.data) - self.pos:
            raise DecodeError(f"{what}: {n} bytes wanted at offset {self.pos}, {len(self.data) - self.pos} left")
        chunk = self.data[self.pos : end]
        self.pos = end
        return chunk

    def u32(self, what: str) -> int:
        """An unsigned 32-bit integer."""
        return int.from_bytes(self.take(4, what), "little")

    def compact_size(self, what: str) -> int:
        """A canonical CompactSize."""
        start = self.pos
        first = self.take(1, what)[0]
        if first < 0xFD:
            return first
        width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        value = int.from_bytes(self.take(width, what), "little")
        if value < {2: 0xFD, 4: 0x1_0000, 8: 0x1_0000_0000}[width]:
            raise DecodeError(f"{what}: non-canonical CompactSize at offset {start}")
        return value

    def var_bytes(self, what: str) -> bytes:
        """A CompactSize length and so many bytes."""
        return self.take(self.compact_size(what), what)


def read_tx(reader: Reader) -> Tx:
    """Reads one transaction where the reader stands and leaves it behind the last byte. Raises DecodeError."""
    start = reader.pos
    head = reader.take(4, "version")
    segwit = reader.data[reader.pos : reader.pos + 2] == b"\x00\x01"
    if segwit:
        reader.pos += 2
    body_start = reader.pos
    n_inputs = reader.compact_size("input count")
    if n_inputs == 0:
        raise DecodeError(f"a transaction without inputs at offset {start}")
    inputs = []
    for _ in range(n_inputs):
        prev_txid, prev_index = reader.take(32, "outpoint"), reader.u32("outpoint")
        inputs.append(TxInput(prev_txid, prev_index, reader.var_bytes("scriptSig"), reader.u32("sequence")))
    outputs = []
    for _ in range(reader.compact_size("output count")):
        value = int.from_bytes(reader.take(8, "value"), "little")
        if value > MONEY_MAX:
            raise DecodeError(f"an output of {value} satoshi before offset {reader.pos}")
        outputs.append(TxOutput(value, reader.var_bytes("scriptPubKey")))
    if not outputs:
        raise DecodeError(f"a transaction without outputs at offset {start}")
    body = reader.data[body_start : reader.pos]
    if segwit:
        witness_start = reader.pos
        for i, txin in enumerate(inputs):
            count = reader.compact_size("witness item count")
            inputs[i] = replace(txin, witness=tuple([reader.var_bytes("witness item") for _ in range(count)]))
        if not any(reader.data[witness_start : reader.pos]):
            raise DecodeError(f"a superfluous witness at offset {witness_start}")
    stripped = head + body + reader.take(4, "locktime")
    raw = reader.data[start : reader.pos] if segwit else stripped
    return _tx(raw, stripped, tuple(inputs), tuple(outputs))


def decode(raw: bytes) -> Tx:
    """The transaction that raw is, whole and with nothing behind it. Raises DecodeError."""
    reader = Reader(raw)
    tx = read_tx(reader)
    if reader.pos != len(raw):
        raise DecodeError(f"{len(raw) - reader.pos} bytes behind the transaction")
    return tx


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """The merkle root over txids in wire order."""
    level = list(txids)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]
