"""hftcore.bitcoin: messages and transactions as a library user meets them."""

from __future__ import annotations

import gc
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hftcore import bitcoin
from hftcore.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from runner.sim import serialize
from runner.sim.serialize import TxInput, TxOutput, merkle_root, push

TX = (  # 1 input, 1 output of 1 satoshi to OP_TRUE
    struct.pack("<i", 1) + b"\1" + b"\xab" * 32 + struct.pack("<I", 3) + b"\0" + b"\xff" * 4
    + b"\1" + struct.pack("<q", 1) + b"\1\x51" + struct.pack("<I", 0)
)  # fmt: skip
HASHES = [f"{i:064x}" for i in range(3)]


def encode(inputs: Sequence[TxInput]) -> bytes:
    return serialize.encode(inputs, [TxOutput(1, b"\x51")]).raw


def test_transaction() -> None:
    tx = bitcoin.parse_transaction(bytearray(TX))
    assert tx.raw == TX
    assert (tx.version, tx.locktime, tx.size, tx.vsize, tx.has_witness) == (1, 0, len(TX), len(TX), False)
    assert tx.weight == 4 * len(TX)
    (txin,) = tx.inputs
    assert txin.prevout == bitcoin.OutPoint("ab" * 32, 3)
    assert (txin.script, txin.sequence, txin.witness) == (b"", 0xFFFFFFFF, ())
    assert txin.owner == bitcoin.Owner(None, None, bitcoin.OwnerReason.NO_DATA)
    (out,) = tx.outputs
    assert (out.value, out.script, out.type, out.address()) == (1, b"\x51", bitcoin.ScriptType.NONSTANDARD, None)
    assert tx.txid == tx.wtxid
    assert tx.inputs is tx.inputs
    assert tx.outputs is tx.outputs
    assert tx.txid in repr(tx)
    assert "ab" * 32 in repr(txin)
    assert "1 sat, nonstandard, 51" in repr(out)


def test_parts_outlive_their_transaction() -> None:
    txin, out = bitcoin.parse_transaction(bytearray(TX)).inputs[0], bitcoin.parse_transaction(bytearray(TX)).outputs[0]
    gc.collect()
    assert (txin.prevout.txid, out.script) == ("ab" * 32, b"\x51")


def test_outputs_are_values() -> None:
    first, second = (bitcoin.parse_transaction(TX).outputs[0] for _ in range(2))
    other = bitcoin.parse_transaction(TX.replace(b"\1\x51", b"\1\x52")).outputs[0]
    assert first == second != other
    assert len({first, second, other}) == 2
    assert first != (1, b"\x51")


@pytest.mark.parametrize("cls", [bitcoin.TxIn, bitcoin.TxOut])
def test_parts_are_not_made_by_hand(cls: type[Any]) -> None:
    with pytest.raises(TypeError):
        cls()
    empty = cls.__new__(cls)  # what can be had nevertheless shows nothing
    assert not any(getattr(empty, name) for name in ("script", "value", "sequence", "witness") if hasattr(empty, name))
    assert getattr(empty, "prevout", None) is None
    assert getattr(empty, "owner", None) is None
    assert repr(empty)


@pytest.mark.parametrize("cls", [bitcoin.Transaction, bitcoin.Block])
def test_nothing_exists_that_was_not_parsed(cls: type[Any]) -> None:
    for arguments in ((), (None,), (b"",)):
        with pytest.raises((TypeError, RemoteProtocolError)):
            cls.__new__(cls, *arguments)


def test_owners_of_each_kind() -> None:
    key, signature = b"\2" + b"\xfe" * 32, bytes.fromhex("30440220" + "11" * 32 + "0220" + "22" * 32 + "01")
    h160 = bytes.fromhex("fbe22421e91e164319771fff1907960c355500d4")  # of the key
    nested = b"\0\x14" + h160
    nested_hash = bytes.fromhex("04ba6c6a4a205055bac0c9a2f70ed98b63841d25")
    multisig = b"\x51\x21" + key + b"\x51\xae"
    spent = [
        encode([TxInput(bytes(32), 0, push(signature) + push(key))]),
        encode([TxInput(bytes(32), 0, witness=(signature, key))]),
        encode([TxInput(bytes(32), 0, push(nested), witness=(signature, key))]),
        encode([TxInput(bytes(32), 0, witness=(b"", signature, multisig))]),
        encode([TxInput(bytes(32), 0, witness=(b"\1" * 64,))]),
        encode([TxInput(bytes(32), 0, push(signature))]),
        encode([TxInput(bytes(32), 0xFFFFFFFF, b"\3abc", witness=(bytes(32),))]),
    ]
    assert [tuple(bitcoin.parse_transaction(raw).inputs[0].owner) for raw in spent] == [
        (b"\x76\xa9\x14" + h160 + b"\x88\xac", "p2pkh", "known"),
        (nested, "p2wpkh", "known"),
        (b"\xa9\x14" + nested_hash + b"\x87", "p2sh", "known"),
        (b"\0\x20" + hashlib.sha256(multisig).digest(), "p2wsh", "known"),
        (None, None, "taproot_key"),
        (None, None, "signature_only"),
        (None, None, "coinbase"),
    ]
    tx = bitcoin.parse_transaction(encode([TxInput(bytes(32), 0), TxInput(bytes(32), 1, witness=(b"a", b"", b"bc"))]))
    assert [txin.witness for txin in tx.inputs] == [(), (b"a", b"", b"bc")]


def test_types_are_those_of_the_core() -> None:
    """The Python enums are looked up by the number that C gives."""
    header = (Path(__file__).resolve().parents[2] / "hftcore/libhft/include/hft/btc.h").read_text()
    for prefix, enum in (("SCRIPT", bitcoin.ScriptType), ("OWNER", bitcoin.OwnerReason)):
        names = re.findall(rf"^    HFT_BTC_{prefix}_(\w+)(?: = 0)?,", header, re.M)
        assert names == [member.name for member in enum]
        assert [member.value for member in enum] == [name.lower() for name in names]
    assert bitcoin.classify_script(bytearray(b"\x51\x02\x4e\x73")) is bitcoin.ScriptType.ANCHOR
    assert bitcoin.classify_script(b"") is bitcoin.ScriptType.NONSTANDARD


def test_malformed_transactions_say_where() -> None:
    for cut in range(len(TX)):
        with pytest.raises(RemoteProtocolError) as caught:
            bitcoin.parse_transaction(TX[:cut])
        assert caught.value.pos is not None
        assert caught.value.pos <= cut
    with pytest.raises(RemoteProtocolError) as caught:
        bitcoin.parse_transaction(TX + b"\0")
    assert caught.value.pos == len(TX)
    with pytest.raises(RemoteProtocolError) as caught:
        bitcoin.parse_block(bytes(80) + b"\1" + TX[:-1])
    assert caught.value.pos is not None
    assert caught.value.pos >= 81 + len(TX) - 5


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
    assert [tx.raw for tx in bitcoin.parse_block(block).transactions] == [TX, other]
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


def test_block() -> None:
    """The first block after the genesis block."""
    coinbase = bytes.fromhex(
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d0104ffffffff"
        "0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66fb8be7947be63c52da7589379515d4e0a6"
        "04f8141781e62294721166bf621e73a82cbf2342c858eeac00000000"
    )
    header = bytes.fromhex(
        "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14677b"
        "a1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299"
    )
    block = bitcoin.parse_block(header + b"\1" + coinbase)
    assert block.hash == "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
    assert block.prev_hash == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert block.merkle_root == "0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098"
    assert (block.version, block.time, block.bits, block.nonce) == (1, 1231469665, 0x1D00FFFF, 2573394689)
    assert block.merkle_root_matches
    assert len(block) == 1
    assert block.raw == header + b"\1" + coinbase
    (tx,) = block.transactions
    assert block.transactions is block.transactions
    assert tx.txid == block.merkle_root
    assert tx.inputs[0].owner.reason is bitcoin.OwnerReason.COINBASE
    assert tx.outputs[0].type is bitcoin.ScriptType.P2PK
    assert block.hash in repr(block)
    assert not bitcoin.parse_block(header[:40] + b"\0" + header[41:] + b"\1" + coinbase).merkle_root_matches
    assert not bitcoin.parse_block(header + b"\2" + coinbase + TX).merkle_root_matches
    # With the last transaction once more an odd list has the same root (CVE-2012-2459).
    root = merkle_root([bytes.fromhex(bitcoin.parse_transaction(raw).txid)[::-1] for raw in (coinbase, TX, TX, TX)])
    for transactions, good in ((coinbase + TX + TX, True), (coinbase + TX + TX + TX, False)):
        count = bytes([(len(transactions) - len(coinbase)) // len(TX) + 1])
        made = bitcoin.parse_block(header[:36] + root + header[68:] + count + transactions)
        assert made.merkle_root_matches is good
    with pytest.raises(RemoteProtocolError, match="block without transactions"):
        bitcoin.parse_block(header + b"\0")


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
