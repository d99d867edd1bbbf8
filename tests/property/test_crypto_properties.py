"""Hashes and MACs against hashlib and hmac: every length, every alignment, every size of a batch, any key.

test_crypto_kernels.py runs this file again on each of the core's kernels.
"""

from __future__ import annotations

import base64
import ctypes
import faulthandler
import hashlib
import hmac
import mmap
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcore.crypto import (
    HmacSha256,
    HmacSha512,
    merkle_root,
    sha256,
    sha256_many,
    sha256d,
    sha256d_many,
)

KEY = b"secret"
PROT_NONE = 0  # mmap has no name for it
LENGTH_MAX = 1025  # 16 blocks and their padding
ALIGNMENTS = range(64)
BATCH_MAX = 70  # beyond two times 32 lanes
LENGTHS = (0, 1, 31, 32, 55, 56, 63, 64, 80, 119, 120, 128, 150, 300)  # at the ends of blocks, and in use
DATA = random.Random(1).randbytes(LENGTH_MAX)


def reference_sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def reference_sha256d(data: bytes) -> bytes:
    return reference_sha256(reference_sha256(data))


def reference_hmac(data: bytes) -> bytes:
    return hmac.digest(KEY, data, "sha256")


Many = Callable[..., bytes]
One = Callable[[bytes], bytes]
BATCHES: dict[str, tuple[Many, One, One]] = {
    "sha256": (sha256_many, sha256, reference_sha256),
    "sha256d": (sha256d_many, sha256d, reference_sha256d),
    "hmac": (HmacSha256(KEY).many, HmacSha256(KEY).digest, reference_hmac),
}
batches = pytest.mark.parametrize(("many", "one", "reference"), BATCHES.values(), ids=BATCHES.keys())


class Guarded:
    """Memory between two pages that must not be touched: a read or write over its ends is a crash."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self.size = -(-size // page) * page
        self._map = mmap.mmap(-1, self.size + 2 * page)
        self._view = memoryview(self._map)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        for address in (start, start + page + self.size):
            if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(page), PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        self.view = self._view[page : page + self.size]

    def at_start(self, data: bytes) -> memoryview:
        self.view[: len(data)] = data
        return self.view[: len(data)]

    def at_end(self, data: bytes) -> memoryview:
        """Ends where the guard begins."""
        self.view[self.size - len(data) :] = data
        return self.view[self.size - len(data) :]


@pytest.fixture(scope="module")
def guarded() -> Guarded:
    return Guarded(BATCH_MAX * max(LENGTHS))


# ---- lengths and alignments ----


@pytest.fixture(scope="module")
def aligned() -> list[memoryview]:
    """DATA at each alignment: the i-th view begins at an address that is i modulo 64."""
    slot = 2048
    memory = memoryview(mmap.mmap(-1, slot * len(ALIGNMENTS)))
    for i in ALIGNMENTS:
        memory[slot * i + i : slot * i + i + LENGTH_MAX] = DATA
    return [memory[slot * i + i : slot * i + i + LENGTH_MAX] for i in ALIGNMENTS]


@batches
def test_every_length_at_every_alignment(many: Many, one: One, reference: One, aligned: list[memoryview]) -> None:
    """In batches that fill and overfill the lanes, and one by one at an alignment that changes with the length."""
    for length in range(LENGTH_MAX + 1):
        messages = [view[:length] for view in aligned]
        expected = reference(DATA[:length])
        assert many(messages) == expected * len(messages), length
        for alignment in (0, 1, 32, length % 64):
            assert one(messages[alignment]) == expected, (length, alignment)


@batches
def test_every_length_once(many: Many, one: One, reference: One) -> None:
    messages = [DATA[:length] for length in range(LENGTH_MAX + 1)]
    random.Random(3).shuffle(messages)
    assert many(messages) == b"".join(map(reference, messages))


def test_large_input() -> None:
    data = random.Random(2).randbytes(3_000_001)
    assert sha256(data) == reference_sha256(data)
    assert sha256_many([data, data[1:], b""]) == b"".join(map(reference_sha256, [data, data[1:], b""]))
    assert HmacSha256(KEY).digest(data) == reference_hmac(data)
    assert HmacSha256(KEY).prefix(data[:1000]).digest(data[1000:]) == reference_hmac(data)
    assert HmacSha512(KEY).digest(data) == hmac.digest(KEY, data, "sha512")


# ---- batches ----


@batches
@pytest.mark.parametrize("length", LENGTHS)
def test_every_size_of_a_batch(many: Many, one: One, reference: One, length: int) -> None:
    messages = [bytes([i]) * length if i % 2 else DATA[i : i + length] for i in range(BATCH_MAX)]
    expected = [reference(message) for message in messages]
    for n in range(BATCH_MAX + 1):
        assert many(messages[:n]) == b"".join(expected[:n]), n


@batches
def test_every_size_of_a_batch_of_mixed_lengths(many: Many, one: One, reference: One) -> None:
    rng = random.Random(4)
    for n in range(BATCH_MAX + 1):
        for longest in (70, 300, LENGTH_MAX):
            messages = [DATA[: rng.randint(0, longest)] for _ in range(n)]
            assert many(messages) == b"".join(map(reference, messages)), (n, longest)


@pytest.mark.parametrize("length", LENGTHS[1:])
@pytest.mark.parametrize("name", ["sha256", "sha256d"])
def test_every_size_of_a_batch_in_one_buffer(name: str, length: int) -> None:
    many, _, reference = BATCHES[name]
    data = random.Random(length).randbytes(length * BATCH_MAX)
    expected = b"".join(reference(data[i : i + length]) for i in range(0, len(data), length))
    for n in range(BATCH_MAX + 1):
        assert many(data[: length * n], length) == expected[: 32 * n], n
        out = bytearray(b"\xee" * (32 * n + 8))
        assert many(memoryview(data)[: length * n], length, out=out) == n
        assert out == expected[: 32 * n] + b"\xee" * 8, n


@batches
@given(st.lists(st.binary(max_size=400), max_size=80))
def test_any_batch(many: Many, one: One, reference: One, messages: list[bytes]) -> None:
    assert many(messages) == b"".join(map(reference, messages))


# ---- the ends of memory ----


@batches
def test_nothing_is_read_outside_a_message(many: Many, one: One, reference: One, guarded: Guarded) -> None:
    other = Guarded(LENGTH_MAX)
    for length in [*range(260), *range(LENGTH_MAX - 70, LENGTH_MAX + 1)]:
        data = DATA[:length]
        expected = reference(data)
        last = guarded.at_end(data)
        assert one(last) == expected
        assert many([last] * 17) == expected * 17
        first = other.at_start(data)
        assert one(first) == expected
        assert many([first, last, first]) == expected * 3


@batches
def test_digests_are_written_up_to_the_end_of_memory(many: Many, one: One, reference: One, guarded: Guarded) -> None:
    for n in range(1, BATCH_MAX + 1):
        messages = [DATA[i:] for i in range(n)]
        for out in (guarded.at_start(bytes(32 * n)), guarded.at_end(bytes(32 * n))):
            many(messages, out=out)
            assert out == b"".join(map(reference, messages))


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_nothing_is_read_outside_of_a_buffer_of_items(length: int, guarded: Guarded) -> None:
    for n in range(1, BATCH_MAX + 1):
        data = random.Random(n).randbytes(length * n)
        expected = b"".join(reference_sha256d(data[i : i + length]) for i in range(0, len(data), length))
        assert sha256d_many(guarded.at_end(data), length) == expected
        assert sha256d_many(guarded.at_start(data), length) == expected


# ---- any message, any key ----


@given(data=st.binary(max_size=4096))
def test_hashes(data: bytes) -> None:
    assert sha256(data) == reference_sha256(data)
    assert sha256d(bytearray(data)) == reference_sha256d(data)


@given(key=st.binary(max_size=200), message=st.binary(max_size=1000))
def test_macs(key: bytes, message: bytes) -> None:
    for mac, name in ((HmacSha256(key), "sha256"), (HmacSha512(key), "sha512")):
        expected = hmac.digest(key, message, name)
        assert mac.digest(message) == expected
        assert mac.hex(message) == expected.hex()
        assert mac.base64(message) == base64.b64encode(expected).decode()
        assert mac.verify(message, expected)
        assert mac.digest(message) == expected  # the key survives its use


@given(key=st.binary(max_size=200), constant=st.binary(max_size=300), tails=st.lists(st.binary(max_size=300)))
def test_macs_with_a_constant_beginning(key: bytes, constant: bytes, tails: list[bytes]) -> None:
    prefix = HmacSha256(key).prefix(constant)
    for tail in tails:
        expected = hmac.digest(key, constant + tail, "sha256")
        assert prefix.digest(tail) == expected
        assert prefix.verify(tail, expected)


def test_every_length_of_beginning_and_tail() -> None:
    for constant_len in [*range(130), 191, 192, 200]:
        prefix = HmacSha256(KEY).prefix(DATA[:constant_len])
        for tail_len in (*range(0, 140, 3), 63, 64, 65, 127, 128, 500):
            end = constant_len + tail_len
            assert prefix.digest(DATA[constant_len:end]) == reference_hmac(DATA[:end]), (constant_len, tail_len)


def test_every_length_of_key_and_message_of_sha_512() -> None:
    for length in range(300):
        assert HmacSha512(DATA[:length]).digest(DATA) == hmac.digest(DATA[:length], DATA, "sha512")
        assert HmacSha512(KEY).digest(DATA[:length]) == hmac.digest(KEY, DATA[:length], "sha512")


@given(message=st.binary(max_size=100), bit=st.integers(0, 511))
def test_verify_refuses_every_other_mac(message: bytes, bit: int) -> None:
    for mac in (HmacSha256(KEY), HmacSha256(KEY).prefix(b"constant"), HmacSha512(KEY)):
        good = mac.digest(message)
        position = bit % (8 * len(good))
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        assert not mac.verify(message, bad)
        assert not mac.verify(message, good[: position // 8])
        assert not mac.verify(message, good + b"\0")


# ---- merkle roots ----


def reference_merkle_root(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = [*level, level[-1]] if len(level) % 2 else level
        level = [reference_sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def test_merkle_root_of_every_number_of_ids() -> None:
    rng = random.Random(5)
    ids = [rng.randbytes(32) for _ in range(300)]
    for n in range(1, 301):
        expected = reference_merkle_root(ids[:n])
        assert merkle_root(ids[:n]) == expected, n
        assert merkle_root(b"".join(ids[:n])) == expected, n


def test_merkle_root_reads_nothing_outside_its_ids(guarded: Guarded) -> None:
    for n in range(1, 300):
        ids = random.Random(n).randbytes(32 * n)
        assert merkle_root(guarded.at_end(ids)) == merkle_root(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to crash")
def test_the_guard_crashes_who_reads_too_far(guarded: Guarded) -> None:
    """Otherwise the tests above would show nothing."""
    last = guarded.at_end(b"x")
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        address = ctypes.addressof(ctypes.c_char.from_buffer(last))
        ctypes.string_at(address, 2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status != 0  # killed, or ended by a sanitizer
