"""Address codecs: what is refused, and what the message says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hftcore import _address, addresses, sha256d
from hftcore.addresses import NETWORKS, decode_address, encode_address, get_network
from hftcore.errors import ConfigError

P2PKH = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"  # the genesis block's
P2WPKH = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # BIP173
# BIP350's example key, as taproot
P2TR = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
PRIVATE_KEY = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"  # published in the Bitcoin wiki's article on WIF


def refused(text: str, network: str = "mainnet") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decode_address(text, network)
    assert len(text) < 8 or text not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (P2PKH, "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
        (P2WPKH, "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        (P2WPKH.upper(), "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        (P2TR, "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        ("bc1pfeessrawgf", "51024e73"),  # pay to anchor
    ],
)
def test_decode(text: str, script: str) -> None:
    assert decode_address(text).hex() == script
    assert encode_address(bytes.fromhex(script)) == (text.lower() if text[:2] == "BC" else text)


@pytest.mark.parametrize("text", [P2PKH, P2WPKH, P2TR])
def test_every_single_wrong_character_is_noticed(text: str) -> None:
    for i, char in enumerate(text):
        for other in "1qzA":
            if other != char and not (char.lower() == other.lower() and text.islower()):
                refused(text[:i] + other + text[i + 1 :])
        refused(text[:i] + text[i + 1 :])


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "HFT_E_BTC_ADDRESS", "empty"),
        ("0" * 34, "HFT_E_BTC_ADDRESS", "character '0' at position 1 is not base58"),
        (" " + P2PKH, "HFT_E_BTC_ADDRESS", "character ' ' at position 1"),
        (P2PKH + "\n", "HFT_E_BTC_ADDRESS", "position 35"),
        (P2WPKH + " ", "HFT_E_BTC_ADDRESS", "not printable ASCII"),
        (P2PKH[:-1], "HFT_E_BTC_ADDRESS_CHECKSUM", "wrong, missing or in the wrong place"),
        (P2WPKH[:-1] + "5", "HFT_E_BTC_ADDRESS_CHECKSUM", "wrong, missing or in the wrong place"),
        (P2WPKH[:-1] + "b", "HFT_E_BTC_ADDRESS", "character 'b' at position 42 is not bech32"),
        (P2WPKH[:20] + P2WPKH[20:].upper(), "HFT_E_BTC_ADDRESS", "mixed"),
        ("1" * 10_000, "HFT_E_BTC_ADDRESS", "too many"),
        ("bc1" + "q" * 10_000, "HFT_E_BTC_ADDRESS", "wrong length"),
        (
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "HFT_E_BTC_ADDRESS_NETWORK",
            "testnet4 or signet or testnet3 or regtest",
        ),
        (
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            "HFT_E_BTC_ADDRESS_NETWORK",
            "testnet4 or signet or testnet3, not of mainnet",
        ),
        ("ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9", "HFT_E_BTC_ADDRESS_NETWORK", "'ltc' is of no Bitcoin network"),
        ("LdP8Qox1VAhCzLJNqrr74YovaWYyNBUWvL", "HFT_E_BTC_ADDRESS_NETWORK", "0x30 is of no Bitcoin network"),
        (PRIVATE_KEY, "HFT_E_BTC_ADDRESS", "PRIVATE KEY"),
        ("1111", "HFT_E_BTC_ADDRESS", "too few"),
        ("₿" * 34, "HFT_E_BTC_ADDRESS", "not base58"),
        ("bc1₿", "HFT_E_BTC_ADDRESS", "not printable ASCII"),
    ],
)
def test_refusals_say_why(text: str, name: str, words: str) -> None:
    error = refused(text)
    assert error.name == name
    assert words in str(error)


def test_a_mainnet_address_is_refused_elsewhere() -> None:
    for network in ("testnet4", "signet", "regtest"):
        for text in (P2PKH, P2WPKH, P2TR):
            error = refused(text, network)
            assert error.name == "HFT_E_BTC_ADDRESS_NETWORK"
            assert f"of mainnet, not of {network}" in str(error)


@pytest.mark.parametrize(
    "script",
    [
        "",
        "21" + "02" * 33 + "ac",  # P2PK
        "51" + "21" + "02" * 33 + "51ae",  # bare multisig
        "6a0464617461",  # OP_RETURN
        "0013" + "00" * 19,
        "0021" + "00" * 33,
        "5101" + "00",
        "5129" + "00" * 41,
        "6120" + "00" * 32,
        "5020" + "00" * 32,
        "5120" + "00" * 31,
        "5120" + "00" * 33,
        "76a914" + "00" * 20 + "88",
        "a914" + "00" * 20 + "88",
    ],
)
def test_scripts_without_an_address(script: str) -> None:
    assert encode_address(bytes.fromhex(script)) is None


def test_every_witness_version_and_length() -> None:
    for network in NETWORKS:
        for version in range(17):
            for size in range(2, 41):
                script = bytes([version + 0x50 if version else 0, size]) + bytes(range(size))
                text = encode_address(script, network)
                if version == 0 and size not in (20, 32):
                    assert text is None
                else:
                    assert text is not None
                    assert decode_address(text, network) == script


def test_unknown_network() -> None:
    with pytest.raises(
        ConfigError, match="unknown network 'testnet5': one of mainnet, testnet4, signet, testnet3, reg"
    ):
        get_network("testnet5")


def test_every_refusal_has_its_words() -> None:
    """In the order of hft_address_why, with a text that is refused for each."""
    header = (Path(__file__).resolve().parents[2] / "hftcore/libhft/include/hft/address.h").read_text()
    assert len(re.findall(r"^    HFT_ADDRESS_\w+(?: = 0)?,", header, re.M)) == 18
    keyed = bytes.fromhex("80" + "11" * 32 + "01")
    long = b"\0" * 22
    cases = {
        1: ("1A1zP1eP5QGefi2DMPTfTL5SLmv7Div0Na", "character '0' at position 32 is not base58"),
        2: ("bc1 q", "character ' ' at position 4 is not printable"),
        3: (P2WPKH[:10] + "b" + P2WPKH[11:], "character 'b' at position 11 is not bech32"),
        4: (P2WPKH[:-1] + P2WPKH[-1].upper().replace("4", "Q"), "mixed"),
        5: ("bc1qqqqq", "wrong length"),
        6: ("1" * 91, "91 characters are too many"),
        7: ("", "empty"),
        8: (P2PKH[:-1] + "b", "wrong, missing"),
        9: (_address.bech32_encode("bc", bytes([0]) + bytes(32), is_bech32m=True), "version 0 takes a bech32 checksum"),
        10: (_address.base58_encode(keyed + sha256d(keyed)[:4]), "PRIVATE KEY"),
        11: (_address.base58_encode(long + sha256d(long)[:4]), "21 bytes where an address has 20"),
        12: (_address.bech32_encode("bc", bytes([0, 1]), is_bech32m=False), "padding"),
        13: (_address.bech32_encode("bc", b"", is_bech32m=False), "no witness version"),
        14: (_address.bech32_encode("bc", bytes([17]) + bytes(32), is_bech32m=True), "version 17 is over 16"),
        15: (_address.bech32_encode("bc", bytes([1]) + bytes(66), is_bech32m=True), "41 bytes does not fit version 1"),
        16: ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "0x6f is of testnet4"),
        17: ("TB1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KXPJZSX", "'tb' is of testnet4"),
    }
    for why, (text, words) in cases.items():
        with pytest.raises(_address.Refused) as caught:
            addresses._NETS["mainnet"].decode(text)
        assert caught.value.args[1] == why
        error = refused(text)
        assert words in str(error)
        assert (error.pos is not None) == (why in {1, 2, 3})


def test_only_text_is_an_address() -> None:
    for wrong in (None, 5, b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"):
        with pytest.raises(TypeError):
            decode_address(wrong)  # type: ignore[arg-type]
        if not isinstance(wrong, bytes):
            with pytest.raises(TypeError):
                encode_address(wrong)  # type: ignore[arg-type]
    assert encode_address(bytearray.fromhex("51024e73")) == "bc1pfeessrawgf"
    assert refused("\ud800" * 9).name == "HFT_E_BTC_ADDRESS"


@pytest.mark.parametrize("network", NETWORKS)
def test_prefixes_are_those_of_the_core(network: str) -> None:
    """The core knows by itself what begins like a segwit address, to say what is wrong with the rest."""
    error = refused(NETWORKS[network].bech32_hrp + "1!")
    assert "wrong length" in str(error)


def test_magic_is_that_of_the_core() -> None:
    header = (Path(__file__).resolve().parents[2] / "hftcore/libhft/include/hft/btc.h").read_text()
    found = {
        name.lower(): int(value, 16).to_bytes(4, "little")
        for name, value in re.findall(r"HFT_BTC_MAGIC_(\w+) +0x([0-9a-f]{8})u", header)
    }
    assert found == {name: network.magic for name, network in NETWORKS.items()}
