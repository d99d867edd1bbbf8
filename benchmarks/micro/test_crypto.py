"""Hashes and signatures beside hashlib and hmac. Each pair must agree before it is timed."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hftcore import HmacSha256, sha256, sha256d

KEY = os.urandom(64)
BLOCK, ORDER, TRANSACTION = os.urandom(64), os.urandom(250), os.urandom(222)
SIGNER = HmacSha256(KEY)
TEMPLATE = hmac.new(KEY, digestmod="sha256")


def copied(message: bytes) -> bytes:
    """The standard library at its best: the padded key is hashed once."""
    mac = TEMPLATE.copy()
    mac.update(message)
    return mac.digest()


SHA256 = {"hftcore": sha256, "hashlib": lambda data: hashlib.sha256(data).digest()}
SHA256D = {"hftcore": sha256d, "hashlib": lambda data: hashlib.sha256(hashlib.sha256(data).digest()).digest()}
HMAC = {"hftcore": SIGNER.digest, "hmac.digest": lambda data: hmac.digest(KEY, data, "sha256"), "hmac copied": copied}


@pytest.mark.benchmark(group="sha256 of 64 bytes")
@pytest.mark.parametrize("who", SHA256)
def test_sha256(benchmark: BenchmarkFixture, who: str) -> None:
    call: Callable[[bytes], bytes] = SHA256[who]
    assert benchmark(call, BLOCK) == hashlib.sha256(BLOCK).digest()


@pytest.mark.benchmark(group="sha256d of a transaction, 222 bytes")
@pytest.mark.parametrize("who", SHA256D)
def test_sha256d(benchmark: BenchmarkFixture, who: str) -> None:
    assert benchmark(SHA256D[who], TRANSACTION) == SHA256D["hashlib"](TRANSACTION)


@pytest.mark.benchmark(group="HMAC-SHA-256 of 250 bytes")
@pytest.mark.parametrize("who", HMAC)
def test_hmac(benchmark: BenchmarkFixture, who: str) -> None:
    assert benchmark(HMAC[who], ORDER) == hmac.digest(KEY, ORDER, "sha256")
