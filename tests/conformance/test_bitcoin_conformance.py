"""Against what others wrote: python-bitcoinlib, Bitcoin Core's vectors, BIP173, BIP350, two mainnet blocks."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import bitcoin as bitcoinlib
import pytest
import zstandard
from bitcoin.core import CBlock, CTransaction, b2lx, lx
from bitcoin.core.script import OPCODES_BY_NAME, CScript
from bitcoin.messages import (
    MsgSerializable,
    msg_getdata,
    msg_inv,
    msg_ping,
    msg_pong,
    msg_tx,
    msg_verack,
    msg_version,
)
from bitcoin.net import CInv

from hftcore import _address, addresses, bitcoin
from hftcore.errors import ConfigError, RemoteProtocolError
from runner.sim import serialize
from runner.sim.serialize import TxInput, TxOutput

MONEY_MAX = 21_000_000 * 100_000_000
CHAINS = {"main": "mainnet", "testnet4": "testnet4", "signet": "signet", "regtest": "regtest"}


@pytest.fixture(scope="module")
def vectors(shared: Path) -> Path:
    return shared / "data" / "vectors"


def load(path: Path) -> list[Any]:
    result: list[Any] = json.loads(path.read_text())
    return result


def assert_same_type(ours: bitcoin.ScriptType, script: CScript) -> None:
    """As far as python-bitcoinlib knows types."""
    assert (ours == "p2sh") == script.is_p2sh()
    assert (ours == "p2wpkh") == script.is_witness_v0_keyhash()
    assert (ours == "p2wsh") == script.is_witness_v0_scripthash()
    if ours == "op_return":
        assert script.is_unspendable()
    if ours in ("p2tr", "anchor", "witness_unknown"):
        assert script.is_witness_scriptpubkey()


def assert_same(raw: bytes) -> None:
    ours, theirs = bitcoin.parse_transaction(raw), CTransaction.deserialize(raw)
    assert ours.raw == theirs.serialize()
    assert ours.txid == b2lx(theirs.GetTxid())
    assert ours.wtxid == b2lx(theirs.GetHash())
    assert [(out.value, out.script) for out in ours.outputs] == [
        (out.nValue, bytes(out.scriptPubKey)) for out in theirs.vout
    ]
    assert [(*i.prevout, i.script, i.sequence) for i in ours.inputs] == [
        (b2lx(i.prevout.hash), i.prevout.n, bytes(i.scriptSig), i.nSequence) for i in theirs.vin
    ]
    assert (ours.version, ours.locktime, ours.size) == (theirs.nVersion, theirs.nLockTime, len(raw))
    assert ours.weight == theirs.calc_weight()
    assert ours.vsize == -(-theirs.calc_weight() // 4)
    assert ours.has_witness == (not theirs.wit.is_null())
    if ours.has_witness:
        assert [i.witness for i in ours.inputs] == [tuple(i.scriptWitness.stack) for i in theirs.wit.vtxinwit]
    for out, other in zip(ours.outputs, theirs.vout, strict=True):
        assert_same_type(out.type, other.scriptPubKey)


@pytest.mark.parametrize(("name", "count"), [("txs_866342.bin", 4864), ("txs_702861.bin", 2500)])
def test_mainnet_blocks(shared: Path, name: str, count: int) -> None:
    transactions = bitcoin.split_transactions((shared / "data" / name).read_bytes())
    assert len(transactions) == count
    for raw in transactions:
        assert_same(raw)
    txids = [lx(bitcoin.parse_transaction(raw).txid) for raw in transactions]
    header = bytes(36) + CBlock.build_merkle_tree_from_txids(txids)[-1] + bytes(12)
    block = bitcoin.parse_block(header + bitcoin.encode_compact_size(count) + b"".join(transactions))
    assert [tx.raw for tx in block.transactions] == transactions
    assert block.merkle_root_matches


def test_owners_of_inputs_in_block_866342(shared: Path) -> None:
    """Beside the outputs that the inputs spend, in their order; the coinbase spends none."""
    packed = (shared / "data" / "block_866342_spent_utxos.json.zst").read_bytes()
    spent = iter(json.loads(zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 28)))
    known, hidden = 0, Counter[str]()
    for raw in bitcoin.split_transactions((shared / "data" / "txs_866342.bin").read_bytes()):
        for txin in bitcoin.parse_transaction(raw).inputs:
            owner = txin.owner
            if owner.reason == "coinbase":
                continue
            script = bytes.fromhex(next(spent)["txout"]["script_pubkey"])
            if owner.script is None:
                assert bitcoin.classify_script(script) == "p2tr"
                hidden[owner.reason] += 1
                continue
            assert owner.script == script
            assert owner.type is bitcoin.classify_script(script)
            known += 1
    assert next(spent, None) is None
    assert known == 5599
    assert hidden == {"taproot_key": 2223, "taproot_script": 150}


def script_of(text: str) -> bytes:
    """The scripts of Core's vectors: names of opcodes, numbers, raw bytes as 0x.., texts in quotes."""
    script = b""
    for word in text.split():
        if word.startswith("0x"):
            script += bytes.fromhex(word[2:])
        elif word.startswith("'"):
            script += CScript([word[1:-1].encode()])
        elif re.fullmatch(r"-?\d+", word):
            script += CScript([int(word)])
        else:
            script += bytes([OPCODES_BY_NAME["OP_" + word.removeprefix("OP_")]])
    return script


def test_owners_of_inputs_in_core_tx_valid(vectors: Path) -> None:
    """Odd but valid transactions: an owner that is known is the right one, unless nodes would not relay the spending
    of such an output: no type, or a witness version without a meaning."""
    known = 0
    for case in load(vectors / "tx_valid.json"):
        if len(case) == 1:
            continue
        spent = {(txid, index & 0xFFFFFFFF): script_of(script) for txid, index, script, *_ in case[0]}
        for txin in bitcoin.parse_transaction(bytes.fromhex(case[1])).inputs:
            script = spent[txin.prevout]
            relayed = bitcoin.classify_script(script) not in ("nonstandard", "witness_unknown")
            if txin.owner.script is not None and relayed:
                assert txin.owner.script == script, (case[1], script.hex(), txin.owner)
                known += 1
    assert known > 30


def test_owners_of_taproot_inputs(vectors: Path) -> None:
    """BIP341: a transaction of nine inputs, and control blocks."""
    found = json.loads((vectors / "bip-0341_wallet-test-vectors.json").read_text())
    (spending,) = found["keyPathSpending"]
    tx = bitcoin.parse_transaction(bytes.fromhex(spending["auxiliary"]["fullySignedTx"]))
    for txin, output in zip(tx.inputs, spending["given"]["utxosSpent"], strict=True):
        script = bytes.fromhex(output["scriptPubKey"])
        if bitcoin.classify_script(script) == "p2tr":
            assert txin.owner == (None, None, "taproot_key")
        else:
            assert txin.owner == (script, bitcoin.classify_script(script), "known")
    blocks = 0
    for case in found["scriptPubKey"]:
        script = bytes.fromhex(case["expected"]["scriptPubKey"])
        assert bitcoin.classify_script(script) == "p2tr"
        assert addresses.encode_address(script) == case["expected"]["bip350Address"]
        assert addresses.decode_address(case["expected"]["bip350Address"]) == script
        for control in case["expected"].get("scriptPathControlBlocks", []):
            blocks += 1
            inputs = [TxInput(bytes(32), 0, witness=(b"\x51", bytes.fromhex(control)))]
            made = bitcoin.parse_transaction(serialize.encode(inputs, [TxOutput(1, b"\x51")]).raw)
            leaf_version = int(control[:2], 16) & 0xFE
            assert made.inputs[0].owner.reason == ("taproot_script" if leaf_version == 0xC0 else "nonstandard")
    assert blocks > 5


def test_deposits_of_block_866342(shared: Path) -> None:
    """The table finds what a dict of the file's own script column finds."""
    path = shared / "data" / "exchange_addresses_small.csv"
    with path.open(newline="") as file:
        labels = {bytes.fromhex(row["scriptpubkey_hex"]): row["exchange"] for row in csv.DictReader(file)}
    table = bitcoin.WatchTable.from_csv(path)
    found, expected = [], []
    for raw in bitcoin.split_transactions((shared / "data" / "txs_866342.bin").read_bytes()):
        tx, other = bitcoin.parse_transaction(raw), CTransaction.deserialize(raw)
        for out in tx.outputs:
            if (label := table.find(out.script)) is not None:
                found.append((tx.txid, out.value, label))
        for out in other.vout:
            if (label := labels.get(bytes(out.scriptPubKey))) is not None:
                expected.append((b2lx(other.GetTxid()), out.nValue, label))
    assert found == expected
    assert len(found) == 7


def test_exchange_addresses(shared: Path) -> None:
    with (shared / "data" / "exchange_addresses_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1844
    for row in rows:
        script = bytes.fromhex(row["scriptpubkey_hex"])
        assert addresses.decode_address(row["address"]) == script
        assert addresses.encode_address(script) == row["address"]


def test_core_tx_valid(vectors: Path) -> None:
    cases = [case for case in load(vectors / "tx_valid.json") if len(case) > 1]
    assert len(cases) > 100
    for case in cases:
        assert_same(bytes.fromhex(case[1]))


def test_core_tx_invalid(vectors: Path) -> None:
    """Most are invalid by their scripts, which is not ours to judge; refused are those whose amounts or counts are."""
    refused = 0
    for case in load(vectors / "tx_invalid.json"):
        if len(case) == 1:
            continue
        raw = bytes.fromhex(case[1])
        values = [out.nValue for out in CTransaction.deserialize(raw).vout]
        if values and all(0 <= value <= MONEY_MAX for value in values) and sum(values) <= MONEY_MAX:
            assert_same(raw)
            continue
        assert case[2] == "BADTX"
        refused += 1
        with pytest.raises(RemoteProtocolError) as caught:
            bitcoin.parse_transaction(raw)
        assert caught.value.name == ("HFT_E_BTC_AMOUNT" if values else "HFT_E_BTC_TX")
    assert refused == 4


def test_core_key_io_valid(vectors: Path) -> None:
    for text, script, meta in load(vectors / "key_io_valid.json"):
        network = CHAINS[meta["chain"]]
        if meta["isPrivkey"]:
            with pytest.raises(ConfigError, match="PRIVATE KEY"):
                addresses.decode_address(text, network)
            continue
        assert addresses.decode_address(text, network).hex() == script
        if meta.get("tryCaseFlip"):
            assert addresses.decode_address(text.swapcase(), network).hex() == script
        # Of two networks with the same prefixes either may have been meant.
        matches = [
            other for other in addresses.NETWORKS if addresses.encode_address(bytes.fromhex(script), other) == text
        ]
        assert network in matches
        for other in addresses.NETWORKS:
            if other in matches:
                continue
            with pytest.raises(ConfigError) as caught:
                addresses.decode_address(text, other)
            assert caught.value.name == "HFT_E_BTC_ADDRESS_NETWORK"


def test_core_key_io_invalid(vectors: Path) -> None:
    for (text,) in load(vectors / "key_io_invalid.json"):
        for network in addresses.NETWORKS:
            with pytest.raises(ConfigError):
                addresses.decode_address(text, network)


def test_core_base58(vectors: Path) -> None:
    for data, text in load(vectors / "base58_encode_decode.json"):
        assert _address.base58_encode(bytes.fromhex(data)) == text
        assert _address.base58_decode(text) == bytes.fromhex(data)


def sections(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Of a BIP's test vectors: the paragraph above the bullets -> (text, what stands behind it) of each bullet."""
    result: dict[str, list[tuple[str, str]]] = {}
    heading = ""
    for line in re.split(r"^===?Test vectors===?$", path.read_text(encoding="utf-8"), flags=re.M)[1].splitlines():
        if bullet := re.match(r"\* (?:0x(\w\w) \+ )?<tt>(.*?)</tt>(?: \+ 0x(\w\w))?(?:: )?(.*)", line):
            before, text, after, rest = bullet.groups()
            text = bytes.fromhex(before or "").decode("latin-1") + text + bytes.fromhex(after or "").decode("latin-1")
            result.setdefault(heading, []).append((text, rest))
        else:
            heading = f"{heading} {line}" if line.strip() else ""
    return result


@pytest.mark.parametrize(
    ("bip", "is_bech32m", "counts"),
    [
        ("bip-0173.mediawiki", False, {"valid": 7, "invalid": 12, "address": 6, "bad": 10}),
        ("bip-0350.mediawiki", True, {"valid": 7, "invalid": 14, "address": 8, "bad": 15}),
    ],
)
def test_bip173_and_bip350(vectors: Path, bip: str, is_bech32m: bool, counts: dict[str, int]) -> None:
    done = dict.fromkeys(counts, 0)
    for heading, cases in sections(vectors / bip).items():
        for text, rest in cases:
            if "scriptPubKey" in heading:
                done["address"] += 1
                script = bytes.fromhex(rest.removeprefix("<tt>").removesuffix("</tt>"))
                network = "mainnet" if text.lower().startswith("bc") else "testnet4"
                if bip == "bip-0173.mediawiki" and script[0] != 0:
                    with pytest.raises(ConfigError, match="takes a bech32m checksum"):  # as BIP350 decided later
                        addresses.decode_address(text, network)
                    continue
                assert addresses.decode_address(text, network) == script
                assert addresses.encode_address(script, network) == text.lower()
            elif "invalid segwit addresses" in heading:
                done["bad"] += 1
                for network in addresses.NETWORKS:
                    with pytest.raises(ConfigError):
                        addresses.decode_address(text, network)
            elif re.search(r"\bnot\b|invalid", heading):
                done["invalid"] += 1
                with pytest.raises(_address.Refused):
                    _address.bech32_decode(text)
            else:
                done["valid"] += 1
                hrp, values, found = _address.bech32_decode(text)
                assert found == is_bech32m
                assert _address.bech32_encode(hrp, values, is_bech32m) == text.lower()
    assert done == counts


# ---- messages, both ways ----


def theirs(raw: bytes) -> Any:
    return MsgSerializable.stream_deserialize(BytesIO(raw))


def ours(raw: bytes) -> bitcoin.Message:
    (message,) = bitcoin.MessageParser("mainnet").feed(raw)
    return message


HASHES = [f"{i * 0x1234567:064x}" for i in range(1, 300)]


def test_parameters() -> None:
    params = bitcoinlib.MainParams
    network = addresses.NETWORKS["mainnet"]
    assert network.magic == params.MESSAGE_START
    assert network.default_port == params.DEFAULT_PORT
    assert network.p2pkh_version == params.BASE58_PREFIXES["PUBKEY_ADDR"]
    assert network.p2sh_version == params.BASE58_PREFIXES["SCRIPT_ADDR"]
    regtest = addresses.NETWORKS["regtest"]
    assert regtest.magic == bitcoinlib.RegTestParams.MESSAGE_START
    assert regtest.default_port == bitcoinlib.RegTestParams.DEFAULT_PORT
    assert regtest.bech32_hrp == bitcoinlib.RegTestParams.BECH32_HRP


def test_version_both_ways() -> None:
    raw = bitcoin.build_version(
        "mainnet", services=9, timestamp=1_700_000_000, nonce=1 << 63, user_agent="/x:1/", start_height=866_342
    )
    message = theirs(raw)
    assert isinstance(message, msg_version)
    assert (message.nVersion, message.nServices, message.nTime, message.nNonce) == (70016, 9, 1_700_000_000, 1 << 63)
    assert (message.strSubVer, message.nStartingHeight, message.fRelay) == (b"/x:1/", 866_342, 1)
    message = msg_version()
    message.nServices, message.nTime, message.nNonce, message.fRelay = 1033, -5, 77, False
    parsed = bitcoin.parse_version(ours(message.to_bytes()).payload)
    assert parsed == (message.nVersion, 1033, -5, 77, message.strSubVer.decode(), -1, False)


@pytest.mark.parametrize(("command", "cls"), [("inv", msg_inv), ("getdata", msg_getdata)])
@pytest.mark.parametrize("count", [0, 1, 252, 253, 299])
def test_inventories_both_ways(command: str, cls: type[Any], count: int) -> None:
    raw = bitcoin.build_inv("mainnet", command, bitcoin.InvType.TX, HASHES[:count])
    message = theirs(raw)
    assert isinstance(message, cls)
    assert [(entry.type, b2lx(entry.hash)) for entry in message.inv] == [(1, text) for text in HASHES[:count]]
    built = cls()
    for text in HASHES[:count]:
        entry = CInv()
        entry.type, entry.hash = 1, lx(text)
        built.inv.append(entry)
    assert built.to_bytes() == raw
    assert bitcoin.parse_inv(ours(built.to_bytes()).payload) == [(1, text) for text in HASHES[:count]]


def test_small_messages_both_ways() -> None:
    nonce = (12345).to_bytes(8, "little")
    for command, cls in (("ping", msg_ping), ("pong", msg_pong)):
        raw = bitcoin.build_message("mainnet", command, nonce)
        message = theirs(raw)
        assert isinstance(message, cls)
        assert message.nonce == 12345
        assert message.to_bytes() == raw
        assert ours(raw) == (command, nonce)
    raw = bitcoin.build_message("mainnet", "verack")
    assert isinstance(theirs(raw), msg_verack)
    assert msg_verack().to_bytes() == raw


def test_tx_message_both_ways(shared: Path) -> None:
    for raw in bitcoin.split_transactions((shared / "data" / "txs_866342.bin").read_bytes())[:200]:
        message = theirs(bitcoin.build_message("mainnet", "tx", raw))
        assert isinstance(message, msg_tx)
        assert message.tx.serialize() == raw
        assert ours(message.to_bytes()) == ("tx", raw)
