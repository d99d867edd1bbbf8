"""SHA-256 and HMAC-SHA-256 against hashlib and hmac: every length, any alignment, any key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random

from hypothesis import given
from hypothesis import strategies as st

from hftcore.crypto import HmacSha256, sha256, sha256d


def reference_sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def test_every_length_at_random_alignments() -> None:
    rng = random.Random(1)
    data = rng.randbytes(1200)
    view = memoryview(data)
    for length in range(1026):
        start = rng.randrange(64)
        piece = view[start : start + length]
        assert sha256(piece) == hashlib.sha256(piece).digest()
        assert sha256d(piece) == reference_sha256d(piece)


def test_large_input() -> None:
    data = random.Random(2).randbytes(3_000_001)
    assert sha256(data) == hashlib.sha256(data).digest()


@given(data=st.binary(max_size=4096))
def test_hashes(data: bytes) -> None:
    assert sha256(data) == hashlib.sha256(data).digest()
    assert sha256d(bytearray(data)) == reference_sha256d(data)


@given(key=st.binary(max_size=200), message=st.binary(max_size=1000))
def test_hmac(key: bytes, message: bytes) -> None:
    mac = HmacSha256(key)
    expected = hmac.digest(key, message, "sha256")
    assert mac.digest(message) == expected
    assert mac.hex(message) == expected.hex()
    assert mac.base64(message) == base64.b64encode(expected).decode()
    assert mac.verify(message, expected)
    assert mac.digest(message) == expected  # the key survives its use


@given(message=st.binary(max_size=100), position=st.integers(0, 255))
def test_verify_refuses_every_other_mac(message: bytes, position: int) -> None:
    mac = HmacSha256(b"key")
    good = mac.digest(message)
    bad = bytearray(good)
    bad[position // 8] ^= 1 << position % 8
    assert not mac.verify(message, bad)
    assert not mac.verify(message, good[: position // 8])
    assert not mac.verify(message, good + b"\0")
