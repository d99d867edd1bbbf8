"""Generated transactions against python-bitcoinlib, deposits against a second count, files against their defects."""

from __future__ import annotations

import csv
import hashlib
import os
import random
from io import BytesIO
from pathlib import Path

import pytest
from bitcoin.core import CBlock, CTransaction, Hash160, b2lx
from bitcoin.core.script import CScript

from runner.sim.address import decode_address, read_addresses
from runner.sim.ledger import Ledger
from runner.sim.serialize import DecodeError, Tx, compact_size, decode, merkle_root
from runner.sim.traffic import (
    COIN,
    Generator,
    client_order_id,
    demo_watch_list,
    deposits,
    load_transactions,
    senders,
)
from runner.sim.wallets import demo_wallets, hash160, owner_of, plain_ripemd160, signature

WATCHED = demo_watch_list()
SHARED = Path(os.environ.get("HFTCORE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))


def generate(n: int, seed: int = 7, **settings: float) -> list[Tx]:
    generator = Generator(seed=seed, watched=WATCHED, **settings)  # type: ignore[arg-type]
    return [generator.make() for _ in range(n)]


@pytest.fixture(scope="module")
def transactions() -> list[Tx]:
    return generate(3000, deposit_share=0.1)


def as_list(transactions: list[Tx]) -> bytes:
    parts = [len(transactions).to_bytes(4, "little")]
    for tx in transactions:
        parts += [len(tx.raw).to_bytes(4, "little"), tx.raw]
    return b"".join(parts)


def as_block(transactions: list[Tx]) -> bytes:
    root = merkle_root([tx.wire_txid for tx in transactions])
    header = b"\x00\x00\x00\x20" + bytes(32) + root + bytes(12)
    return header + compact_size(len(transactions)) + b"".join(tx.raw for tx in transactions)


def test_bitcoinlib_reads_every_transaction_the_same_way(transactions: list[Tx]) -> None:
    for tx in transactions:
        stream = BytesIO(tx.raw)
        theirs = CTransaction.stream_deserialize(stream)
        assert stream.read() == b""
        assert b2lx(theirs.GetTxid()) == tx.txid
        assert b2lx(theirs.GetHash()) == tx.wtxid
        assert [(out.nValue, bytes(out.scriptPubKey)) for out in theirs.vout] == [
            (out.value, out.script) for out in tx.outputs
        ]


def test_decode_reads_back_what_encode_wrote(transactions: list[Tx]) -> None:
    assert all(decode(tx.raw) == tx for tx in transactions)


def test_same_seed_same_stream() -> None:
    assert generate(200) == generate(200)
    assert generate(200) != generate(200, seed=8)


def test_traffic_has_all_shapes(transactions: list[Tx]) -> None:
    scripts = [CScript(out.script) for tx in transactions for out in tx.outputs]
    assert any(s.is_p2sh() for s in scripts)
    assert any(s.is_witness_v0_keyhash() for s in scripts)
    assert any(s.is_witness_v0_scripthash() for s in scripts)
    assert any(len(s) == 34 and s[:2] == b"\x51\x20" for s in scripts)
    assert any(s.is_unspendable() for s in scripts)
    assert any(len(s) == 25 and s[:3] == b"\x76\xa9\x14" for s in scripts)
    assert any(s[-1:] == b"\xac" and len(s) in {35, 67} for s in scripts)
    assert any(s[-1:] == b"\xae" for s in scripts)
    assert any(s.is_witness_scriptpubkey() and s[0] > 0x51 for s in scripts)
    assert any(len(tx.outputs) > 200 for tx in transactions)
    assert sum(len(tx.outputs) == 2 for tx in transactions) > len(transactions) / 2
    segwit = sum(tx.txid != tx.wtxid for tx in transactions)
    assert 0.6 * len(transactions) < segwit < len(transactions)


def test_deposits_are_sums_per_script_and_lie_around_the_threshold(transactions: list[Tx]) -> None:
    found = [deposit for tx in transactions for deposit in deposits(tx, WATCHED)]
    amounts = [deposit.amount_sat for deposit in found]
    assert COIN in amounts
    assert COIN - 1 in amounts
    assert 0.3 < sum(amount >= COIN for amount in amounts) / len(amounts) < 0.8
    assert {deposit.script for deposit in found} == set(WATCHED)
    by_txid = {tx.txid: CTransaction.deserialize(tx.raw) for tx in transactions}
    assert len({(deposit.txid, deposit.script) for deposit in found}) == len(found)
    for deposit in found:
        paid = [out.nValue for out in by_txid[deposit.txid].vout if bytes(out.scriptPubKey) == deposit.script]
        assert deposit.amount_sat == sum(paid)
        assert deposit.label == WATCHED[deposit.script]
    # The cases that a per-output comparison or a sum over all outputs would get wrong must occur.
    outputs = [(tx, out) for tx in transactions for out in tx.outputs if out.script in WATCHED]
    assert len(outputs) > len(found)
    assert len({tx.txid for tx, _ in outputs}) < len(found)
    assert any(len(tx.outputs) > 20 for tx, _ in outputs)


def test_unwatched_transactions_pay_no_watched_wallet() -> None:
    assert not any(deposits(tx, WATCHED) for tx in generate(500, deposit_share=0.0))


def test_client_order_id_is_short_enough_and_unique_per_rule() -> None:
    assert client_order_id(0, "1f2e" + "0" * 60) == "h00-1f2e" + "0" * 20
    assert client_order_id(63, "ab" * 32) == "h3f-" + "ab" * 12
    assert len(client_order_id(63, "ab" * 32)) <= 36


@pytest.mark.parametrize("form", [as_list, as_block])
def test_both_file_formats_load(transactions: list[Tx], tmp_path: Path, form: object) -> None:
    path = tmp_path / "transactions.bin"
    path.write_bytes(form(transactions[:300]))  # type: ignore[operator]
    assert load_transactions(path) == transactions[:300]


def test_a_block_is_a_block_to_bitcoinlib_too(transactions: list[Tx]) -> None:
    block = CBlock.deserialize(as_block(transactions[:50]))
    assert block.calc_merkle_root() == block.hashMerkleRoot


@pytest.mark.parametrize("form", [as_list, as_block])
def test_every_truncation_and_appended_bytes_are_refused(tmp_path: Path, form: object) -> None:
    path = tmp_path / "broken.bin"
    data = form(generate(3))  # type: ignore[operator]
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(DecodeError, match=r"broken\.bin"):
            load_transactions(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(DecodeError, match="1 bytes behind"):
        load_transactions(path)


def test_a_block_with_another_merkle_root_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "block.bin"
    data = bytearray(as_block(generate(3)))
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DecodeError, match="merkle root"):
        load_transactions(path)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (bytes.fromhex("02000000" "fd0100") + bytes(60), "non-canonical"),
        (bytes.fromhex("02000000" "00") + bytes(60), "without inputs"),
        (bytes.fromhex("02000000" "01") + bytes(36) + b"\0" + bytes(4) + b"\0" + bytes(4), "without outputs"),
        (bytes.fromhex("02000000" "01") + bytes(36) + b"\0" + bytes(4) + b"\1" + b"\xff" * 8 + b"\0" * 5, "satoshi"),
        (bytes.fromhex("02000000" "0001" "01") + bytes(36) + b"\0" + bytes(4) + b"\1" + bytes(9) + b"\0" + bytes(4),
         "superfluous witness"),
    ],
)  # fmt: skip
def test_malformed_transactions_are_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode(raw)


@pytest.mark.parametrize(
    ("text", "script"),
    [  # BIP173 and BIP350 examples
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
         "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        ("BC1SW50QGDZ25J", "6002751e"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
    ],
)  # fmt: skip
def test_addresses(text: str, script: str) -> None:
    assert decode_address(text).hex() == script


@pytest.mark.parametrize(
    "text",
    [
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",  # bech32 where bech32m is due
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",  # version 0, 16 bytes
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf0a",
        "",
    ],
)
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_address(text)


def test_address_files_name_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "wallets.csv"
    path.write_text("address,exchange\n1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa,Genesis\nnonsense0,Nobody\n")
    with pytest.raises(ValueError, match=r"wallets\.csv:3: nonsense0"):
        read_addresses(path)
    path.write_text("wallet\nx\n")
    with pytest.raises(ValueError, match="columns address"):
        read_addresses(path)


def test_real_block_and_real_addresses() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"no shared data at {SHARED} (set HFTCORE_SHARED)")
    transactions = load_transactions(SHARED / "data/txs_866342.bin")
    assert len(transactions) == 4864
    with (SHARED / "data/exchange_addresses_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = read_addresses(SHARED / "data/exchange_addresses_small.csv")
    assert {bytes.fromhex(row["scriptpubkey_hex"]) for row in rows} == set(table)
    found = [deposit for tx in transactions for deposit in deposits(tx, table)]
    assert sum(out.script in table for tx in transactions for out in tx.outputs) == 7
    assert [deposit.label for deposit in found] == ["bybit", "bitget", "cryptocom"]  # one pays a script twice
    change = {label for tx in transactions for label in senders(tx, table)}
    assert change == {"binance", "huobi", "coinex"}  # theirs are the other three, the only large one among them


# ---- houses that spend ----


def test_ripemd160_without_openssl() -> None:
    """The vectors of its authors, and every length around the end of a block beside python-bitcoinlib."""
    vectors = {b"": "9c1185a5c5e9fc54612808977ee8f548b2258d31", b"abc": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"}
    for text, digest in vectors.items():
        assert plain_ripemd160(text).hex() == digest
    for size in (*range(50, 70), 119, 120, 128, 500):
        data = bytes(i & 255 for i in range(size))
        assert plain_ripemd160(hashlib.sha256(data).digest()) == hash160(data) == Hash160(data)


def test_wallets_show_whose_they_are_where_they_can() -> None:
    for wallet in demo_wallets():
        if wallet.can_spend:
            assert owner_of(wallet.coin(b"\7" * 32, 1)) == wallet.script
            assert WATCHED[wallet.script] == wallet.owner
    assert len(WATCHED) == len(demo_wallets())
    assert {len(signature(random.Random(i))) for i in range(50)} == {71, 72}


def test_houses_and_conflicts() -> None:
    """Every kind of move comes about, and the ledger calls each what it is."""
    generator = Generator(seed=3, watched=WATCHED, wallets=demo_wallets(), house_share=0.05, conflict_share=0.5)
    made = [generator.make() for _ in range(4000)]
    ledger = Ledger(WATCHED, COIN)
    for tx in made:
        ledger.add(tx)
    assert len({tx.txid for tx in made}) == len(made)
    spending = {tx.txid: senders(tx, WATCHED) for tx in made}
    assert ledger.withdrawals | ledger.internals == {(txid, name) for txid, names in spending.items() for name in names}
    assert len(ledger.withdrawals) > 50 < len(ledger.replacements)
    assert len(ledger.internals) > 20 < len(ledger.revocations)
    # Peel chains: a house spends what it has kept for itself before.
    ids = {bytes.fromhex(tx.txid)[::-1] for tx in made}
    assert sum(txin.prev_txid in ids for tx in made for txin in tx.inputs) > 20
    assert not any(deposit.label in spending[deposit.txid] for deposit in ledger.deposits)
    # One order for all that exclude each other, and the first of them that is large enough has it.
    replaced_by = dict(ledger.replacements)
    for txid in ledger.orders:
        earlier = txid
        while earlier := replaced_by.get(earlier, ""):
            assert earlier not in ledger.orders
