"""Bitcoin addresses to scriptPubKeys in plain Python (base58check, BIP173, BIP350): the demo's independent decoder.

hftcore decodes the same addresses in C; the two are compared wherever the demo or a test computes what to expect.
"""

from __future__ import annotations

import csv
from pathlib import Path

from runner.sim.serialize import sha256d

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONST, _BECH32M_CONST = 1, 0x2BC830A3

# Human-readable part, P2PKH version byte, P2SH version byte.
_PREFIXES = {
    "mainnet": ("bc", 0x00, 0x05),
    "testnet3": ("tb", 0x6F, 0xC4),
    "testnet4": ("tb", 0x6F, 0xC4),
    "signet": ("tb", 0x6F, 0xC4),
    "regtest": ("bcrt", 0x6F, 0xC4),
}


def _base58check(text: str) -> bytes:
    number = 0
    for char in text:
        digit = _BASE58.find(char)
        if digit < 0:
            raise ValueError(f"{char!r} is not a base58 character")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = b"\x00" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) != 25 or sha256d(data[:-4])[:4] != data[-4:]:
        raise ValueError("base58 checksum or length is wrong")
    return data[:-4]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, term in enumerate(_GENERATOR):
            if top >> i & 1:
                check ^= term
    return check


def _regroup(values: list[int]) -> bytes:
    accumulator = bits = 0
    out = bytearray()
    for value in values:
        accumulator = accumulator << 5 | value
        bits += 5
        if bits >= 8:
            bits -= 8
            out.append(accumulator >> bits & 0xFF)
    if bits >= 5 or accumulator & ((1 << bits) - 1):
        raise ValueError("bech32 padding is wrong")
    return bytes(out)


def _segwit(text: str, hrp: str) -> bytes:
    if text.lower() != text and text.upper() != text:
        raise ValueError("upper and lower case are mixed")
    text = text.lower()
    values = [_BECH32.find(char) for char in text[len(hrp) + 1 :]]
    if len(text) > 90 or min(values, default=-1) < 0 or len(values) < 8:
        raise ValueError("not a bech32 address")
    const = _polymod([ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp] + values)
    version, program = values[0], _regroup(values[1:-6])
    if const != (_BECH32_CONST if version == 0 else _BECH32M_CONST):
        raise ValueError("bech32 checksum is wrong")
    if version > 16 or not 2 <= len(program) <= 40 or (version == 0 and len(program) not in {20, 32}):
        raise ValueError("not a witness program")
    return bytes((version + 0x50 if version else 0, len(program))) + program


def decode_address(text: str, network: str = "mainnet") -> bytes:
    """The scriptPubKey that an address stands for. Raises ValueError where it is none of this network."""
    hrp, p2pkh, p2sh = _PREFIXES[network]
    if text.lower().startswith(hrp + "1"):
        return _segwit(text, hrp)
    payload = _base58check(text)
    if payload[0] == p2pkh:
        return b"\x76\xa9\x14" + payload[1:] + b"\x88\xac"
    if payload[0] == p2sh:
        return b"\xa9\x14" + payload[1:] + b"\x87"
    raise ValueError(f"not an address of {network}")


def read_addresses(path: Path, network: str = "mainnet") -> dict[bytes, str]:
    """scriptPubKey -> label from a CSV file with the columns ``address`` and ``exchange`` or ``label``.

    The first label of a script counts. Raises ValueError with the line number.
    """
    table: dict[bytes, str] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        names = rows.fieldnames or []
        label_column = "label" if "label" in names else "exchange"
        if "address" not in names or label_column not in names:
            raise ValueError(f"{path}: the first line must name the columns address and exchange (or label)")
        for row in rows:
            try:
                table.setdefault(decode_address(row["address"].strip(), network), row[label_column].strip())
            except ValueError as error:
                raise ValueError(f"{path}:{rows.line_num}: {row['address']}: {error}") from None
    return table
