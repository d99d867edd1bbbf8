"""Transactions and addresses beside python-bitcoinlib."""

from __future__ import annotations

import pytest
from bitcoin.core import CTransaction
from bitcoin.wallet import P2WPKHBitcoinAddress
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import setting
from benchmarks.peers.python_path import make_message
from hftcore import bitcoin

MESSAGE, TXID = make_message(setting.SCRIPT)
RAW = MESSAGE[24:]


def peer_txid() -> str:
    txid: bytes = CTransaction.deserialize(RAW).GetTxid()
    return txid[::-1].hex()


@pytest.mark.benchmark(group="parse a transaction, 222 bytes, and its txid")
@pytest.mark.parametrize("who", ["hftcore", "python-bitcoinlib"])
def test_transaction(benchmark: BenchmarkFixture, who: str) -> None:
    call = {"hftcore": lambda: bitcoin.parse_transaction(RAW).txid, "python-bitcoinlib": peer_txid}[who]
    assert benchmark(call) == TXID


@pytest.mark.benchmark(group="script of a bech32 address")
@pytest.mark.parametrize("who", ["hftcore", "python-bitcoinlib"])
def test_address(benchmark: BenchmarkFixture, who: str) -> None:
    address = bitcoin.encode_address(setting.SCRIPT)
    assert address is not None
    if who == "hftcore":
        script = benchmark(bitcoin.decode_address, address)
    else:
        script = bytes(benchmark(lambda: P2WPKHBitcoinAddress(address).to_scriptPubKey()))
    assert script == setting.SCRIPT
