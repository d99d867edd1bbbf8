"""Bitcoin's networks and addresses: base58check, bech32 (BIP173) and bech32m (BIP350) to and from scriptPubKeys.

Used while a program is configured; on the hot path only raw scripts are compared. Everything a checksum or a network
prefix can tell is checked, because an address that is silently taken for another one is an order that is never sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hftcore.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Network:
    """What tells one Bitcoin network from another (source: Bitcoin Core, ``kernel/chainparams.cpp``).

    magic: first four bytes of every message. p2pkh_version, p2sh_version: first byte of a base58 address.
    bech32_hrp: what a segwit address begins with, before the ``1``.
    """

    name: str
    magic: bytes
    default_port: int
    dns_seeds: tuple[str, ...]
    p2pkh_version: int
    p2sh_version: int
    bech32_hrp: str


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        network.name: network
        for network in (
            Network(
                name="mainnet",
                magic=bytes.fromhex("f9beb4d9"),
                default_port=8333,
                dns_seeds=(
                    "dnsseed.bluematt.me",
                    "seed.bitcoin.jonasschnelli.ch",
                    "seed.btc.petertodd.net",
                    "seed.bitcoin.sprovoost.nl",
                    "dnsseed.emzy.de",
                    "seed.bitcoin.wiz.biz",
                    "seed.mainnet.achownodes.xyz",
                ),
                p2pkh_version=0x00,
                p2sh_version=0x05,
                bech32_hrp="bc",
            ),
            Network(
                name="testnet4",
                magic=bytes.fromhex("1c163f28"),
                default_port=48333,
                dns_seeds=("seed.testnet4.bitcoin.sprovoost.nl", "seed.testnet4.wiz.biz"),
                p2pkh_version=0x6F,
                p2sh_version=0xC4,
                bech32_hrp="tb",
            ),
            Network(
                name="signet",
                magic=bytes.fromhex("0a03cf40"),
                default_port=38333,
                dns_seeds=("seed.signet.bitcoin.sprovoost.nl", "seed.signet.achownodes.xyz"),
                p2pkh_version=0x6F,
                p2sh_version=0xC4,
                bech32_hrp="tb",
            ),
            Network(
                name="regtest",
                magic=bytes.fromhex("fabfb5da"),
                default_port=18444,
                dns_seeds=(),
                p2pkh_version=0x6F,
                p2sh_version=0xC4,
                bech32_hrp="bcrt",
            ),
        )
    }
)

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_NO_VALUE = 0xFF
_BECH32_VALUES = bytes(_BECH32.find(chr(i)) if chr(i) in _BECH32 else _NO_VALUE for i in range(256))
_BASE32_DIGITS = bytes(b"0123456789abcdefghijklmnopqrstuv"[i % 32] for i in range(256))  # int() reads them
_BECH32_CONST = 1
_BECH32M_CONST = 0x2BC830A3
_ADDRESS_MAX = 90  # BIP173; base58 addresses are shorter
_PRIVATE_KEY_VERSIONS = (0x80, 0xEF)

_ADDRESS_CODES = {
    "HFT_E_BTC_ADDRESS": (-16014, "invalid address"),
    "HFT_E_BTC_ADDRESS_CHECKSUM": (-16015, "address checksum wrong"),
    "HFT_E_BTC_ADDRESS_NETWORK": (-16016, "address belongs to another network"),
}


def _error(name: str, detail: str, pos: int | None = None) -> ConfigError:
    """The address itself is not quoted: what was pasted by mistake may be a private key."""
    code, text = _ADDRESS_CODES[name]
    return ConfigError(f"{text}: {detail}", code=code, name=name, pos=pos)


def get_network(name: str) -> Network:
    """The network of that name; ConfigError lists the names there are."""
    network = NETWORKS.get(name)
    if network is None:
        raise ConfigError(f"unknown network {name!r}: one of {', '.join(NETWORKS)}")
    return network


def base58_encode(data: bytes) -> str:
    """Base58 without a checksum; every leading zero byte becomes a ``1``."""
    number = int.from_bytes(data)
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def base58_decode(text: str) -> bytes:
    """The inverse of base58_encode. ConfigError (HFT_E_BTC_ADDRESS) names the position of a foreign character."""
    number = 0
    for pos, char in enumerate(text):
        digit = _BASE58.find(char)
        if digit < 0:
            raise _error("HFT_E_BTC_ADDRESS", f"character {char!r} at position {pos + 1} is not base58", pos)
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]


def _generator_sums() -> tuple[int, ...]:
    """What each value of the five top bits adds to BIP173's checksum."""
    generators = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    sums = []
    for top in range(32):
        total = 0
        for bit, generator in enumerate(generators):
            total ^= generator if top >> bit & 1 else 0
        sums.append(total)
    return tuple(sums)


_GENERATOR_SUMS = _generator_sums()


def _polymod(values: Iterable[int]) -> int:
    """The BCH code of BIP173 over 5-bit values."""
    check = 1
    for value in values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _GENERATOR_SUMS[check >> 25]
    return check


def _expand_hrp(hrp: str) -> bytes:
    return bytes([ord(char) >> 5 for char in hrp] + [0] + [ord(char) & 31 for char in hrp])


def _bech32_split(text: str) -> tuple[str, bytes, int]:
    """(prefix, 5-bit values without the checksum, checksum constant) of a bech32 or bech32m string."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        pos, char = next((pos, char) for pos, char in enumerate(text) if not "!" <= char <= "~")
        raise _error("HFT_E_BTC_ADDRESS", f"character {char!r} at position {pos + 1} is not printable ASCII", pos)
    if text.lower() != text and text.upper() != text:
        raise _error("HFT_E_BTC_ADDRESS", "upper and lower case mixed")
    text = text.lower()
    separator = text.rfind("1")
    if separator < 1 or separator + 7 > len(text) or len(text) > _ADDRESS_MAX:
        raise _error("HFT_E_BTC_ADDRESS", "wrong length, or no prefix before a '1'")
    hrp, values = text[:separator], text[separator + 1 :].encode().translate(_BECH32_VALUES)
    if _NO_VALUE in values:
        pos = separator + 1 + values.index(_NO_VALUE)
        raise _error("HFT_E_BTC_ADDRESS", f"character {text[pos]!r} at position {pos + 1} is not bech32", pos)
    constant = _polymod(_expand_hrp(hrp) + values)
    if constant not in (_BECH32_CONST, _BECH32M_CONST):
        raise _error("HFT_E_BTC_ADDRESS_CHECKSUM", "a character is wrong, missing or in the wrong place")
    return hrp, values[:-6], constant


def _bech32_join(hrp: str, values: bytes, constant: int) -> str:
    check = _polymod(_expand_hrp(hrp) + values + bytes(6)) ^ constant
    values += bytes(check >> 5 * (5 - i) & 31 for i in range(6))
    return hrp + "1" + "".join(_BECH32[value] for value in values)


def _to_5_bits(data: bytes) -> bytes:
    pad = -len(data) * 8 % 5
    number = int.from_bytes(data) << pad
    count = (len(data) * 8 + pad) // 5
    return bytes(number >> 5 * (count - 1 - i) & 31 for i in range(count))


def _from_5_bits(values: bytes) -> bytes:
    """At most four bits of padding, all zero (BIP173)."""
    number = int(values.translate(_BASE32_DIGITS) or b"0", 32)
    pad = len(values) * 5 % 8
    if pad > 4 or number & (1 << pad) - 1:
        raise _error("HFT_E_BTC_ADDRESS", "padding bits are not zero, or too many")
    return (number >> pad).to_bytes(len(values) * 5 // 8)


def _networks_where(condition: Iterable[bool]) -> str:
    return " or ".join(name for name, holds in zip(NETWORKS, condition, strict=True) if holds)


def _decode_segwit(text: str, network: Network) -> bytes:
    hrp, values, constant = _bech32_split(text)
    if hrp != network.bech32_hrp:
        owner = _networks_where(other.bech32_hrp == hrp for other in NETWORKS.values()) or "no Bitcoin network"
        raise _error("HFT_E_BTC_ADDRESS_NETWORK", f"prefix {hrp!r} is of {owner}, not of {network.name}")
    if not values:
        raise _error("HFT_E_BTC_ADDRESS", "no witness version")
    version, program = values[0], _from_5_bits(values[1:])
    if version > 16:
        raise _error("HFT_E_BTC_ADDRESS", f"witness version {version} is over 16")
    if not 2 <= len(program) <= 40 or (version == 0 and len(program) not in (20, 32)):
        raise _error("HFT_E_BTC_ADDRESS", f"witness program of {len(program)} bytes does not fit version {version}")
    if constant != (_BECH32_CONST if version == 0 else _BECH32M_CONST):
        wanted = "bech32" if version == 0 else "bech32m"
        raise _error("HFT_E_BTC_ADDRESS_CHECKSUM", f"witness version {version} takes a {wanted} checksum (BIP350)")
    return bytes((version + 0x50 if version else 0, len(program))) + program


def _decode_base58(text: str, network: Network) -> bytes:
    if len(text) > _ADDRESS_MAX:
        raise _error("HFT_E_BTC_ADDRESS", f"{len(text)} characters are too many")
    data = base58_decode(text)
    if len(data) < 5:
        raise _error("HFT_E_BTC_ADDRESS", f"{len(text)} characters are too few")
    payload, check = data[:-4], data[-4:]
    if _checksum(payload) != check:
        raise _error("HFT_E_BTC_ADDRESS_CHECKSUM", "a character is wrong, missing or in the wrong place")
    version, body = payload[0], payload[1:]
    if version in _PRIVATE_KEY_VERSIONS and len(body) in (32, 33):
        raise _error("HFT_E_BTC_ADDRESS", "this is a PRIVATE KEY, not an address: remove it, and move what it guards")
    if len(body) != 20:
        raise _error("HFT_E_BTC_ADDRESS", f"{len(body)} bytes where an address has 20")
    if version == network.p2pkh_version:
        return b"\x76\xa9\x14" + body + b"\x88\xac"
    if version == network.p2sh_version:
        return b"\xa9\x14" + body + b"\x87"
    owner = _networks_where(version in (other.p2pkh_version, other.p2sh_version) for other in NETWORKS.values())
    owner = owner or "no Bitcoin network"
    raise _error("HFT_E_BTC_ADDRESS_NETWORK", f"version byte 0x{version:02x} is of {owner}, not of {network.name}")


def decode_address(text: str, network: str = "mainnet") -> bytes:
    """The scriptPubKey that the address `text` stands for.

    P2PKH and P2SH (base58check), segwit version 0 (bech32, BIP173) and 1 to 16 (bech32m, BIP350; 1 is taproot).
    No white space is tolerated. Raises ConfigError with the name HFT_E_BTC_ADDRESS (form), HFT_E_BTC_ADDRESS_CHECKSUM
    or HFT_E_BTC_ADDRESS_NETWORK; the message does not quote the address.
    """
    params = get_network(network)
    if not text:
        raise _error("HFT_E_BTC_ADDRESS", "empty")
    prefix = text.lower()
    if any(prefix.startswith(other.bech32_hrp + "1") for other in NETWORKS.values()):
        return _decode_segwit(text, params)
    try:
        return _decode_base58(text, params)
    except ConfigError as error:
        # A segwit address of another coin deserves to be called one.
        try:
            return _decode_segwit(text, params)
        except ConfigError as other:
            raise (other if other.name == "HFT_E_BTC_ADDRESS_NETWORK" else error) from None


def _segwit_parts(script: bytes) -> tuple[int, bytes] | None:
    """(version, program) of a segwit scriptPubKey that has an address."""
    if not 4 <= len(script) <= 42 or script[1] != len(script) - 2:
        return None
    if script[0] == 0:
        return (0, script[2:]) if len(script) in (22, 34) else None
    return (script[0] - 0x50, script[2:]) if 0x51 <= script[0] <= 0x60 else None


def encode_address(script: bytes, network: str = "mainnet") -> str | None:
    """The address of a scriptPubKey, or None if its type has none: P2PK, bare multisig, OP_RETURN, anything else."""
    params = get_network(network)
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        payload = bytes((params.p2pkh_version,)) + script[3:23]
        return base58_encode(payload + _checksum(payload))
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        payload = bytes((params.p2sh_version,)) + script[2:22]
        return base58_encode(payload + _checksum(payload))
    parts = _segwit_parts(script)
    if parts is None:
        return None
    version, program = parts
    constant = _BECH32_CONST if version == 0 else _BECH32M_CONST
    return _bech32_join(params.bech32_hrp, bytes((version,)) + _to_5_bits(program), constant)
