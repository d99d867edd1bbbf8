"""Scripts of every type, made-up wallets that can be spent from, and whose output an input spends; in plain Python.

RIPEMD-160 is written out here because OpenSSL no longer offers it everywhere (Dobbertin, Bosselaers, Preneel 1996).
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from runner.sim.serialize import TxInput, push


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


# ---- RIPEMD-160 ----


def _digits(text: str) -> list[int]:
    return [int(digit, 16) for digit in text]


# For each of the 80 steps of the two lines: which word is mixed in, and by how much is rotated.
_WORDS = (
    _digits("0123456789abcdef" + "74d1a6f3c0952eb8" + "3ae49f812706db5c" + "19ba08c4d37fe562" + "40597c2ae138b6fd"),
    _digits("5e7092b4d6f81a3c" + "6b370d5aef8c4912" + "f5137e69b8c2a04d" + "86413bf05c2d97ae" + "cfa4158762de039b"),
)
_TURNS = (
    _digits("befc5879bdef6798" + "768db97f7cf9b7dc" + "bd67e9dfe8d65c75" + "bcefef989e56865c" + "9f5b68dc5cdeb856"),
    _digits("899bdff5778beec6" + "9df7c89b77c76fdb" + "97fb866ecd5edd75" + "f58bee6e69c9c5f8" + "85c9c5e68d65fdbb"),
)
_CONSTANTS = (
    (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E),
    (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000),
)
_MASK = 0xFFFFFFFF


def _mix(step: int, x: int, y: int, z: int) -> int:
    if step < 16:
        return x ^ y ^ z
    if step < 32:
        return (x & y) | (~x & z)
    if step < 48:
        return (x | ~y) ^ z
    if step < 64:
        return (x & z) | (y & ~z)
    return x ^ (y | ~z)


def _rotate(x: int, by: int) -> int:
    x &= _MASK
    return (x << by | x >> (32 - by)) & _MASK


def ripemd160(data: bytes) -> bytes:
    """The 20 bytes of RIPEMD-160: by OpenSSL, fifty times as fast, where it has it."""
    try:
        return hashlib.new("ripemd160", data).digest()
    except ValueError:
        return plain_ripemd160(data)


def plain_ripemd160(data: bytes) -> bytes:
    """The same in plain Python."""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", 8 * len(data))
    for start in range(0, len(padded), 64):
        block = struct.unpack_from("<16I", padded, start)
        lines = []
        for line in range(2):
            a, b, c, d, e = state
            for step in range(80):
                mixed = _mix(79 - step if line else step, b, c, d)
                total = a + mixed + block[_WORDS[line][step]] + _CONSTANTS[line][step // 16]
                a, b, c, d, e = e, (_rotate(total, _TURNS[line][step]) + e) & _MASK, b, _rotate(c, 10), d
            lines.append((a, b, c, d, e))
        left, right = lines
        state = [(state[(i + 1) % 5] + left[(i + 2) % 5] + right[(i + 3) % 5]) & _MASK for i in range(5)]
    return struct.pack("<5I", *state)


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256."""
    return ripemd160(hashlib.sha256(data).digest())


# ---- wallets ----


def signature(rng: random.Random) -> bytes:
    """What looks like a DER signature with its hash type: 71 or 72 bytes, low-R half the time."""
    r = rng.choice((bytes((rng.randint(1, 0x7F),)), b"\0" + bytes((rng.randint(0x80, 0xFF),)))) + rng.randbytes(31)
    s = bytes((rng.randint(1, 0x7F),)) + rng.randbytes(31)
    body = b"\x02" + bytes((len(r),)) + r + b"\x02" + bytes((len(s),)) + s
    return b"\x30" + bytes((len(body),)) + body + b"\x01"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A made-up script of a made-up owner. The keys are hashes of names, so nobody owns them."""

    owner: str
    kind: str

    def _key(self, number: int = 0) -> bytes:
        return b"\x02" + hashlib.sha256(f"hftcore demo wallet {self.owner} {self.kind} {number}".encode()).digest()

    def _multisig(self) -> bytes:
        return multisig(2, [self._key(i) for i in range(3)])

    @property
    def script(self) -> bytes:
        """Its scriptPubKey."""
        key = self._key()
        return {
            "p2pk": p2pk(key),
            "p2pkh": p2pkh(hash160(key)),
            "p2sh": p2sh(hash160(self._multisig())),
            "p2sh_p2wpkh": p2sh(hash160(witness_program(0, hash160(key)))),
            "p2wpkh": witness_program(0, hash160(key)),
            "p2wsh": witness_program(0, hashlib.sha256(self._multisig()).digest()),
            "p2tr": witness_program(1, key[1:]),
            "multisig": self._multisig(),
            "future": witness_program(2, key[1:]),
        }[self.kind]

    @property
    def can_spend(self) -> bool:
        """Whether an input that spends from it shows whose it was."""
        return self.kind in {"p2pkh", "p2sh", "p2sh_p2wpkh", "p2wpkh", "p2wsh"}

    def coin(self, prev_txid: bytes, prev_index: int) -> TxInput:
        """An input that spends from it, with what looks like signatures."""
        rng = random.Random(prev_txid + self._key())
        first, second, key = signature(rng), signature(rng), self._key()
        script, witness = {
            "p2pkh": (push(first) + push(key), ()),
            "p2sh": (b"\0" + push(first) + push(second) + push(self._multisig()), ()),
            "p2sh_p2wpkh": (push(witness_program(0, hash160(key))), (first, key)),
            "p2wpkh": (b"", (first, key)),
            "p2wsh": (b"", (b"", first, second, self._multisig())),
        }[self.kind]
        return TxInput(prev_txid, prev_index, script, witness=witness)


_KINDS = ("p2pk", "p2pkh", "p2sh", "p2sh_p2wpkh", "p2wpkh", "p2wsh", "p2tr", "multisig", "future")


def demo_wallets() -> list[Wallet]:
    """Wallets of every kind for made-up owners; no real address is presented as anybody's."""
    owners = ("Binance (demo)", "Kraken (demo)", "Coinbase (demo)")
    return [Wallet(owner, kind) for owner in owners for kind in _KINDS]


# ---- whose output an input spends ----


def _pushes(script: bytes) -> list[bytes]:
    """What a script of pushes puts on the stack; nothing for any other script."""
    found, pos = [], 0
    while pos < len(script):
        size = script[pos]
        pos += 1
        if size > 0x4D:
            return []
        if size >= 0x4C:
            width = size - 0x4B
            size = int.from_bytes(script[pos : pos + width], "little")
            pos += width
        found.append(script[pos : pos + size])
        pos += size
    return found


def _is_key(data: bytes) -> bool:
    return (len(data) == 33 and data[0] in {2, 3}) or (len(data) == 65 and data[0] == 4)


def owner_of(txin: TxInput) -> bytes | None:
    """The scriptPubKey that an input spends, as far as what unlocks it shows one; None behind taproot and bare keys."""
    stack, pushed = txin.witness, _pushes(txin.script)
    if pushed and (stack or len(pushed) == 1 or not _is_key(pushed[-1])):
        return None if pushed[-1][:1] == b"\x30" else p2sh(hash160(pushed[-1]))
    if pushed:
        return p2pkh(hash160(pushed[-1])) if len(pushed) == 2 else None
    if len(stack) < 2 or (len(stack[-1]) % 32 == 1 and stack[-1][0] & 0xFE == 0xC0):
        return None
    if len(stack) == 2 and _is_key(stack[1]):
        return witness_program(0, hash160(stack[1]))
    return witness_program(0, hashlib.sha256(stack[-1]).digest())
