"""Merkle roots of real blocks: a published one, and those of the third-party data.

test_crypto_kernels.py runs this file again on each of the core's kernels.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bitcoin.core import CBlock, CTransaction

from hftcore.bitcoin import split_transactions
from hftcore.crypto import merkle_root, sha256d, sha256d_many

WITNESS_COMMITMENT = bytes.fromhex("6a24aa21a9ed")  # BIP 141: how the coinbase's output with it begins


def test_block_100000() -> None:
    txids = [
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    ]
    root = merkle_root([bytes.fromhex(txid)[::-1] for txid in txids])
    assert root[::-1].hex() == "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"


@pytest.fixture(scope="module", params=["txs_866342.bin", "txs_702861.bin"])
def transactions(request: pytest.FixtureRequest, shared: Path) -> list[bytes]:
    return split_transactions((shared / "data" / request.param).read_bytes())


def test_the_witness_root_is_what_the_miner_committed_to(transactions: list[bytes]) -> None:
    """BIP 141: the coinbase holds sha256d(root over the wtxids + the reserved value); its own wtxid counts as zero."""
    coinbase = CTransaction.deserialize(transactions[0])
    assert coinbase.is_coinbase()
    (reserved,) = coinbase.wit.vtxinwit[0].scriptWitness.stack
    commitment = [bytes(out.scriptPubKey) for out in coinbase.vout if out.scriptPubKey.startswith(WITNESS_COMMITMENT)][
        -1
    ]
    wtxids = bytes(32) + sha256d_many(transactions[1:])
    assert sha256d(merkle_root(wtxids) + reserved) == commitment[6:38]


def test_the_root_is_that_of_python_bitcoinlib(transactions: list[bytes]) -> None:
    txids = [CTransaction.deserialize(raw).GetTxid() for raw in transactions]
    for part in (txids, txids[:-1], txids[:1337]):
        assert merkle_root(part) == CBlock.build_merkle_tree_from_txids(part)[-1]
