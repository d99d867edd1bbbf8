"""Bitcoin's networks and addresses: base58check, bech32 (BIP173) and bech32m (BIP350) to and from scriptPubKeys.

Used while a program is configured; on the hot path only raw scripts are compared. Everything a checksum or a network
prefix can tell is checked, because an address that is silently taken for another one is an order that is never sent.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from typing_extensions import Buffer

from hftcore import _address
from hftcore._status import error_from_status
from hftcore.errors import ConfigError, HftError


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
                name="testnet3",
                magic=bytes.fromhex("0b110907"),
                default_port=18333,
                dns_seeds=(
                    "testnet-seed.bitcoin.jonasschnelli.ch",
                    "seed.tbtc.petertodd.net",
                    "seed.testnet.bitcoin.sprovoost.nl",
                    "testnet-seed.bluematt.me",
                    "seed.testnet.achownodes.xyz",
                ),
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

_NETS = {
    network.name: _address.AddressNet(network.bech32_hrp, network.p2pkh_version, network.p2sh_version)
    for network in NETWORKS.values()
}


def get_network(name: str) -> Network:
    """The network of that name; ConfigError lists the names there are."""
    network = NETWORKS.get(name)
    if network is None:
        raise ConfigError(f"unknown network {name!r}: one of {', '.join(NETWORKS)}")
    return network


def custom_signet(challenge: bytes) -> Network:
    """A signet of one's own, by its challenge: the script that its blocks must satisfy (BIP325). It has no DNS seeds.

    Raises ConfigError for an empty challenge, or one over 10,000 bytes.
    """
    if not 0 < len(challenge) <= 10_000:
        raise ConfigError(f"signet challenge of {len(challenge)} bytes: a script of 1 to 10000 bytes")
    size = len(challenge)
    prefix = bytes([size]) if size < 0xFD else b"\xfd" + size.to_bytes(2, "little")
    magic = hashlib.sha256(hashlib.sha256(prefix + challenge).digest()).digest()[:4]
    return dataclasses.replace(NETWORKS["signet"], magic=magic, dns_seeds=())


def _networks_where(condition: Iterable[bool]) -> str:
    holds = " or ".join(name for name, holds in zip(NETWORKS, condition, strict=True) if holds)
    return holds or "no Bitcoin network"


def _other_version(version: int, network: str) -> str:
    owner = _networks_where(version in (other.p2pkh_version, other.p2sh_version) for other in NETWORKS.values())
    return f"version byte 0x{version:02x} is of {owner}, not of {network}"


def _other_prefix(hrp: str, network: str) -> str:
    owner = _networks_where(other.bech32_hrp == hrp for other in NETWORKS.values())
    return f"prefix {hrp!r} is of {owner}, not of {network}"


_AT_A_CHARACTER = (1, 2, 3)  # of what _in_words() knows


def _in_words(why: int, pos: int, value: int, text: str, network: str) -> str:
    """What hft_address_why says, in its order. No more than a character is quoted: what was pasted by mistake may be a
    private key."""
    wrong = f"character {text[pos : pos + 1]!r} at position {pos + 1} is not"
    words = (
        "",
        f"{wrong} base58",
        f"{wrong} printable ASCII",
        f"{wrong} bech32",
        "upper and lower case mixed",
        "wrong length, or no prefix before a '1'",
        f"{len(text)} characters are too many",
        f"{len(text)} characters are too few" if text else "empty",
        "a character is wrong, missing or in the wrong place",
        f"witness version {value} takes a {'bech32m' if value else 'bech32'} checksum (BIP350)",
        "this is a PRIVATE KEY, not an address: remove it, and move what it guards",
        f"{value} bytes where an address has 20",
        "padding bits are not zero, or too many",
        "no witness version",
        f"witness version {value} is over 16",
        f"witness program of {value & 255} bytes does not fit version {value >> 8}",
        _other_version(value, network),
        _other_prefix(text[:value].lower(), network),
    )
    return words[why]


def _net(name: str) -> _address.AddressNet:
    get_network(name)
    return _NETS[name]


def decode_address(text: str, network: str = "mainnet") -> bytes:
    """The scriptPubKey that the address `text` stands for.

    P2PKH and P2SH (base58check), segwit version 0 (bech32, BIP173) and 1 to 16 (bech32m, BIP350; 1 is taproot).
    No white space is tolerated. Raises ConfigError with the name HFT_E_BTC_ADDRESS (form), HFT_E_BTC_ADDRESS_CHECKSUM
    or HFT_E_BTC_ADDRESS_NETWORK; the message does not quote the address.
    """
    try:
        return _net(network).decode(text)
    except _address.Refused as refused:
        code, why, pos, value = refused.args
    error = error_from_status(code, _in_words(why, pos, value, text, network))
    assert isinstance(error, HftError)
    error.pos = pos if why in _AT_A_CHARACTER else None
    raise error


def encode_address(script: Buffer, network: str = "mainnet") -> str | None:
    """The address of a scriptPubKey, or None if its type has none: P2PK, bare multisig, OP_RETURN, anything else."""
    return _net(network).encode(bytes(memoryview(script)))
