"""hftcore.bitcoin: messages and transactions as a library user meets them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from hftcore import bitcoin
from hftcore.errors import ConfigError, LocalProtocolError, RemoteProtocolError

TX = (  # 1 input, 1 output of 1 satoshi to OP_TRUE
    struct.pack("<i", 1) + b"\1" + b"\xab" * 32 + struct.pack("<I", 3) + b"\0" + b"\xff" * 4
    + b"\1" + struct.pack("<q", 1) + b"\1\x51" + struct.pack("<I", 0)
)  # fmt: skip
HASHES = [f"{i:064x}" for i in range(3)]


def test_transaction() -> None:
    tx = bitcoin.parse_transaction(bytearray(TX))
    assert tx.raw == TX
    assert (tx.version, tx.locktime, tx.size, tx.vsize, tx.has_witness) == (1, 0, len(TX), len(TX), False)
    assert tx.inputs == (bitcoin.TxIn("ab" * 32, 3, b"", 0xFFFFFFFF),)
    assert tx.outputs == (bitcoin.TxOut(1, b"\x51"),)
    assert tx.txid == tx.wtxid
    assert tx.inputs is tx.inputs
    assert tx.txid in repr(tx)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", "HFT_E_BTC_TRUNCATED"),
        (TX[:-1], "HFT_E_BTC_TRUNCATED"),
        (TX + b"\0", "HFT_E_BTC_TRAILING"),
        (TX[:4] + b"\0\0" + TX[-4:], "HFT_E_BTC_TX"),
        (TX.replace(struct.pack("<q", 1), struct.pack("<q", -1)), "HFT_E_BTC_AMOUNT"),
        (TX.replace(b"\1\x51", b"\xfd\1\0\x51"), "HFT_E_BTC_COMPACT_SIZE"),
    ],
)
def test_malformed_transaction(raw: bytes, name: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        bitcoin.parse_transaction(raw)
    assert caught.value.name == name


@pytest.mark.parametrize("parse", [bitcoin.parse_transaction, bitcoin.parse_block, bitcoin.parse_inv])
def test_only_bytes_are_data(parse: Callable[[object], object]) -> None:
    for wrong in (None, 5, "00", [0]):
        with pytest.raises(TypeError):
            parse(wrong)


def test_block_and_container() -> None:
    other = TX.replace(b"\xab", b"\xcd")
    block = bytes(80) + b"\2" + TX + other
    container = struct.pack("<II", 2, len(TX)) + TX + struct.pack("<I", len(other)) + other
    assert bitcoin.parse_block(block) == [TX, other]
    assert bitcoin.split_transactions(block) == [TX, other]
    assert bitcoin.split_transactions(container) == [TX, other]
    assert bitcoin.split_transactions(bytes(4)) == []
    for cut in range(len(block)):
        with pytest.raises(RemoteProtocolError):
            bitcoin.parse_block(block[:cut])
    for cut in [*range(4), *range(5, len(container))]:
        with pytest.raises(RemoteProtocolError):
            bitcoin.split_transactions(container[:cut])
    with pytest.raises(RemoteProtocolError, match="left after the end"):
        bitcoin.parse_block(block + b"\0")
    with pytest.raises(RemoteProtocolError, match="transaction 2 of the block, at byte"):
        bitcoin.parse_block(block[:-1])
    with pytest.raises(RemoteProtocolError):
        bitcoin.parse_block(bytes(80) + b"\xff" * 9 + TX)


def test_messages_at_every_split() -> None:
    stream = (
        bitcoin.build_version("signet", user_agent="/ü/", nonce=7, timestamp=1, start_height=9, relay=False)
        + bitcoin.build_message("signet", "verack")
        + bitcoin.build_inv("signet", "inv", bitcoin.InvType.WTX, HASHES)
        + bitcoin.build_message("signet", "future", b"\0" * 300)
        + bitcoin.build_message("signet", "tx", TX)
    )
    whole = bitcoin.MessageParser("signet").feed(stream)
    assert [message.command for message in whole] == ["version", "verack", "inv", "future", "tx"]
    assert bitcoin.parse_version(whole[0].payload) == bitcoin.Version(70016, 0, 1, 7, "/ü/", 9, False)
    assert bitcoin.parse_inv(whole[2].payload) == [bitcoin.InvEntry(5, text) for text in HASHES]
    assert whole[4].payload == TX
    for cut in range(len(stream) + 1):
        parser = bitcoin.MessageParser("signet")
        assert parser.feed(stream[:cut]) + parser.feed(memoryview(stream)[cut:]) == whole
    parser = bitcoin.MessageParser("signet")
    assert [message for byte in stream for message in parser.feed(bytes([byte]))] == whole
    assert parser.error is None


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (b"\xf9\xbe\xb4\xda", "HFT_E_BTC_MAGIC"),
        (b"GET / HTTP/1.1\r\n", "HFT_E_BTC_MAGIC"),
        (bitcoin.build_message("regtest", "verack"), "HFT_E_BTC_MAGIC"),
        (bitcoin.build_message("mainnet", "verack")[:-1] + b"\0", "HFT_E_BTC_CHECKSUM"),
        (bitcoin.build_message("mainnet", "ping", b"12345678")[:-1] + b"9", "HFT_E_BTC_CHECKSUM"),
        (bitcoin.NETWORKS["mainnet"].magic + b"a\0b".ljust(12, b"\0") + bytes(8), "HFT_E_BTC_COMMAND"),
        (
            bitcoin.NETWORKS["mainnet"].magic + b"tx".ljust(12, b"\0") + struct.pack("<II", 4_000_001, 0),
            "HFT_E_BTC_TOO_LARGE",
        ),
    ],
)
def test_a_fault_ends_the_stream_behind_the_good_messages(bad: bytes, name: str) -> None:
    parser = bitcoin.MessageParser()
    with pytest.raises(RemoteProtocolError) as caught:
        parser.feed(bad)
    assert caught.value.name == name
    parser = bitcoin.MessageParser("mainnet")
    good = bitcoin.build_message("mainnet", "ping", b"12345678")
    assert parser.feed(good + bad + good) == [("ping", b"12345678")]
    assert parser.error is not None
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            parser.feed(good)
        assert caught.value.name == name


def test_message_max() -> None:
    parser = bitcoin.MessageParser("mainnet", message_max=8)
    assert len(parser.feed(bitcoin.build_message("mainnet", "ping", bytes(8)))) == 1
    with pytest.raises(RemoteProtocolError, match="over the length limit"):
        parser.feed(bitcoin.build_message("mainnet", "ping", bytes(9)))
    for wrong in (0, -1, 4_000_001):
        with pytest.raises(ConfigError):
            bitcoin.MessageParser("mainnet", message_max=wrong)
    with pytest.raises(ConfigError, match="unknown network"):
        bitcoin.MessageParser("main")


@pytest.mark.parametrize("command", ["", "abcdefghijklm", "tab\t", "nul\0", "nul\0\0\0", "ünï", "x" * 100])
def test_commands_that_cannot_be_sent(command: str) -> None:
    with pytest.raises(LocalProtocolError):
        bitcoin.build_message("mainnet", command)


def test_what_cannot_be_built() -> None:
    with pytest.raises(LocalProtocolError, match="at most 4000000"):
        bitcoin.build_message("mainnet", "tx", bytes(4_000_001))
    with pytest.raises(LocalProtocolError, match="at most 256"):
        bitcoin.build_version("mainnet", user_agent="a" * 257)
    with pytest.raises(LocalProtocolError, match="not inv, getdata or notfound"):
        bitcoin.build_inv("mainnet", "tx", 1, HASHES)
    with pytest.raises(LocalProtocolError, match="64 hex digits"):
        bitcoin.build_inv("mainnet", "inv", 1, ["00"])
    with pytest.raises(LocalProtocolError, match="50001 of at most 50000"):
        bitcoin.build_inv("mainnet", "inv", 1, HASHES[:1] * 50_001)
    assert len(bitcoin.build_inv("mainnet", "inv", 1, HASHES[:1] * 50_000)) == 24 + 3 + 36 * 50_000
    with pytest.raises(OverflowError):
        bitcoin.build_version("mainnet", nonce=1 << 64)


def test_version_defaults() -> None:
    first, second = (bitcoin.parse_version(bitcoin.build_version("regtest")[24:]) for _ in range(2))
    assert (first.version, first.services, first.relay, first.user_agent) == (70016, 0, True, "/hftcore:0.1.0/")
    assert first.nonce != second.nonce
    assert first.timestamp > 1_700_000_000


def test_inv_errors() -> None:
    for payload, name in (
        (b"", "HFT_E_BTC_TRUNCATED"),
        (b"\1" + bytes(35), "HFT_E_BTC_TRUNCATED"),
        (b"\1" + bytes(37), "HFT_E_BTC_TRAILING"),
        (b"\xfd\x51\xc3" + bytes(36 * 50_001), "HFT_E_BTC_COUNT"),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            bitcoin.parse_inv(payload)
        assert caught.value.name == name


def test_compact_size_limits() -> None:
    with pytest.raises(LocalProtocolError):
        bitcoin.encode_compact_size(-1)
    with pytest.raises(LocalProtocolError):
        bitcoin.encode_compact_size(1 << 64)
    with pytest.raises(RemoteProtocolError):
        bitcoin.decode_compact_size(b"\1", 1)
    with pytest.raises(RemoteProtocolError):
        bitcoin.decode_compact_size(b"\1", 100)
    with pytest.raises(OverflowError):
        bitcoin.decode_compact_size(b"\1", -1)
