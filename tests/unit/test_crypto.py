"""What hftcore.crypto accepts, and what it keeps to itself."""

from __future__ import annotations

import copy
import ctypes
import inspect
import os
import pickle
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from hftcore import crypto
from hftcore.crypto import (
    HmacSha256,
    HmacSha256Prefix,
    HmacSha512,
    Mac,
    merkle_root,
    sha256,
    sha256_many,
    sha256d,
    sha256d_many,
)
from hftcore.errors import ConfigError, LimitExceeded, RemoteProtocolError

KEY = b"a key that is not found in any other place"
MACS = [HmacSha256(KEY), HmacSha256(KEY).prefix(b"constant"), HmacSha512(KEY)]
NOGIL_MIN = 65536

# Everything that takes one message and hashes it whole.
ONE_MESSAGE: dict[str, Callable[[Any], Any]] = {
    "sha256": sha256,
    "sha256d": sha256d,
    "HmacSha256": MACS[0].digest,
    "HmacSha256Prefix": MACS[1].digest,
    "HmacSha512": MACS[2].digest,
    "sha256_many, list": lambda data: sha256_many([b"first", data]),
    "sha256d_many, list": lambda data: sha256d_many([b"first", data]),
    "HmacSha256.many": lambda data: HmacSha256(KEY).many([b"first", data]),
    "sha256_many, buffer": lambda data: sha256_many(data, 32),
    "sha256d_many, buffer": lambda data: sha256d_many(data, 32),
}
CONSTRUCTORS: dict[str, Callable[[Any], Any]] = {
    "HmacSha256(key)": HmacSha256,
    "HmacSha512(key)": HmacSha512,
    "prefix(constant)": HmacSha256(KEY).prefix,
    "verify(mac)": lambda mac: HmacSha256(KEY).verify(b"", mac),
}
MERKLE: dict[str, Callable[[Any], Any]] = {
    "merkle_root, buffer": merkle_root,
    "merkle_root, list": lambda txid: merkle_root([b"\xff" * 32, txid]),
}
ALL = ONE_MESSAGE | CONSTRUCTORS | MERKLE


def parametrized(functions: dict[str, Callable[[Any], Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("function", functions.values(), ids=functions.keys())


# ---- arguments ----


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: array("I", data), ctypes.create_string_buffer])
@parametrized(ONE_MESSAGE | MERKLE)
def test_takes_any_contiguous_buffer(function: Callable[[Any], Any], make: Callable[[bytes], Any]) -> None:
    data = bytes(range(1, 32))  # create_string_buffer appends a zero
    data += b"\0"
    buffer = make(data[:-1] if make is ctypes.create_string_buffer else data)
    assert function(buffer) == function(data)


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_takes_keys_and_constants_from_any_buffer(make: Callable[[bytes], Any]) -> None:
    assert HmacSha256(make(KEY)).hex(b"abc") == HmacSha256(KEY).hex(b"abc")
    assert HmacSha512(make(KEY)).hex(b"abc") == HmacSha512(KEY).hex(b"abc")
    assert HmacSha256(KEY).prefix(make(b"con")).hex(b"abc") == HmacSha256(KEY).prefix(b"con").hex(b"abc")


@parametrized(ALL)
def test_refuses_the_rest(function: Callable[[Any], Any]) -> None:
    for wrong in ("text of thirty-two characters...", None, 7):
        with pytest.raises(TypeError):
            function(wrong)
    with pytest.raises(BufferError):
        function(memoryview(bytes(128))[::2])


@parametrized(ALL)
def test_gives_its_buffers_back(function: Callable[[Any], Any]) -> None:
    data = bytearray(bytes(range(32)))
    function(data)
    data.extend(b"more")  # BufferError while a view is held


@pytest.mark.parametrize("wrong", ["text", memoryview(bytes(8))[::2], None])
def test_gives_its_buffers_back_after_an_error(wrong: Any) -> None:
    data, out = bytearray(32), bytearray(64)
    for fails in (
        lambda: sha256_many([data, wrong], out=out),
        lambda: HmacSha256(KEY).many([data, wrong], out=out),
        lambda: merkle_root([data, wrong]),
        lambda: HmacSha256(KEY).verify(wrong, data),
    ):
        with pytest.raises((TypeError, BufferError)):
            fails()
    assert not any(out)
    data.extend(b"more")
    out.extend(b"more")


def test_every_function_tells_its_signature() -> None:
    assert str(inspect.signature(sha256)) == "(data, /)"
    assert str(inspect.signature(sha256d_many)) == "(messages, /, item_size=None, *, out=None)"
    assert str(inspect.signature(Mac.verify)) == "(self, msg, mac, /, *, length=None)"


# ---- batches ----

BATCHES: dict[str, tuple[Callable[..., Any], Callable[[bytes], bytes]]] = {
    "sha256_many": (sha256_many, sha256),
    "sha256d_many": (sha256d_many, sha256d),
    "HmacSha256.many": (HmacSha256(KEY).many, HmacSha256(KEY).digest),
}
batches = pytest.mark.parametrize(("many", "one"), BATCHES.values(), ids=BATCHES.keys())


@batches
def test_a_batch_is_any_iterable(many: Callable[..., Any], one: Callable[[bytes], bytes]) -> None:
    messages = [b"a", bytearray(b"bc"), memoryview(b""), array("H", [1, 2]), b"d" * 200]
    expected = b"".join(one(bytes(message)) for message in messages)
    assert many(messages) == many(tuple(messages)) == many(iter(messages)) == expected
    assert many([]) == b""


@pytest.mark.parametrize(("many", "one"), [(sha256_many, sha256), (sha256d_many, sha256d)])
def test_a_batch_is_a_buffer_of_equal_items(many: Callable[..., Any], one: Callable[[bytes], bytes]) -> None:
    data = bytes(range(240))
    for size in (1, 16, 80, 240):
        expected = b"".join(one(data[i : i + size]) for i in range(0, 240, size))
        assert many(data, size) == many(bytearray(data), item_size=size) == expected
    assert many(b"", 80) == b""


@batches
def test_digests_are_written_into_out(many: Callable[..., Any], one: Callable[[bytes], bytes]) -> None:
    messages = [b"a", b"b", b"c"]
    for room in (96, 97, 200):
        out = bytearray(b"\xaa" * room)
        assert many(messages, out=memoryview(out)) == 3
        assert out == many(messages) + b"\xaa" * (room - 96)
    assert many([], out=bytearray()) == 0
    words = array("Q", bytes(96))
    assert many(messages, out=words) == 3
    assert words.tobytes() == many(messages)


def test_digests_of_a_buffer_are_written_into_out() -> None:
    out = bytearray(b"\xaa" * 65)
    assert sha256_many(b"ab", 1, out=out) == 2
    assert out == sha256_many([b"a", b"b"]) + b"\xaa"


@batches
def test_an_out_that_does_not_do_is_refused_untouched(many: Callable[..., Any], one: Callable[[bytes], bytes]) -> None:
    short = bytearray(63)
    with pytest.raises(LimitExceeded, match="out has 63 bytes, 2 digests take 64"):
        many([b"a", b"b"], out=short)
    assert short == bytes(63)
    with pytest.raises(BufferError):
        many([b"a"], out=bytes(32))
    with pytest.raises(BufferError):
        many([b"a"], out=memoryview(bytearray(64))[::2])
    with pytest.raises(TypeError):
        many([b"a"], out="text")


@batches
def test_out_must_not_overlap_a_message(many: Callable[..., Any], one: Callable[[bytes], bytes]) -> None:
    memory = memoryview(bytearray(range(200)))
    before = bytes(memory)
    for start in (9, 10, 18, 40, 50, 72, 81):  # the digests come to lie in 18..82
        with pytest.raises(ConfigError, match="overlaps"):
            many([b"apart", memory[start : start + 10]], out=memory[18 : 18 + 64])
        assert memory == before
    for start, end in ((0, 18), (8, 18), (82, 92), (60, 60)):
        assert many([b"apart", memory[start:end]], out=memory[18:150]) == 2
        assert memory[50:82] == one(before[start:end])
        memory[:] = before


def test_out_must_not_overlap_the_items() -> None:
    memory = memoryview(bytearray(range(200)))
    for data, out in ((memory[:64], memory[:64]), (memory[:64], memory[63:127]), (memory[31:95], memory[:32])):
        with pytest.raises(ConfigError, match="overlaps"):
            sha256_many(data, 64, out=out)
    assert sha256_many(memory[:64], 64, out=memory[64:]) == 1
    assert sha256_many(memory[32:96], 64, out=memory) == 1


@pytest.mark.parametrize("many", [sha256_many, sha256d_many])
def test_item_sizes_that_do_not_do(many: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="161 bytes are not a multiple of item_size 80"):
        many(bytes(161), 80)
    for size in (0, -1):
        with pytest.raises(ConfigError, match=f"item_size {size}"):
            many(bytes(160), size)
    for wrong in ("80", 80.0):
        with pytest.raises(TypeError):
            many(bytes(160), wrong)
    with pytest.raises(TypeError, match="item_size"):
        many(bytes(160))  # one buffer, no size


# ---- merkle roots ----


def test_merkle_root_refuses_what_is_no_list_of_ids() -> None:
    for wrong in (b"", bytes(31), bytes(33), [], [bytes(31)], [bytes(32), bytes(64)], [b""]):
        with pytest.raises(ConfigError):
            merkle_root(wrong)
    assert issubclass(ConfigError, ValueError)


def test_merkle_root_keeps_its_argument_and_is_the_only_id_itself() -> None:
    ids = bytearray(range(96))
    merkle_root(ids)
    assert ids == bytes(range(96))
    assert merkle_root(ids[:32]) == merkle_root([ids[:32]]) == bytes(range(32))


def test_merkle_root_refuses_ids_that_have_the_root_of_other_ones() -> None:
    ids = [bytes([i]) * 32 for i in range(6)]
    assert merkle_root(ids) == merkle_root(b"".join(ids))
    for repeated in ([*ids, *ids[4:]], [*ids[:3], ids[2]], [ids[0], ids[0]]):  # CVE-2012-2459
        with pytest.raises(RemoteProtocolError) as caught:
            merkle_root(repeated)
        assert caught.value.name == "HFT_E_BTC_REPEATED"
    merkle_root([ids[0], ids[1], ids[1], ids[0]])  # no neighbours of one pair


# ---- message authentication codes ----


@pytest.mark.parametrize("mac", MACS, ids=repr)
def test_forms_of_a_mac(mac: Mac) -> None:
    digest = mac.digest(b"message")
    assert isinstance(mac, Mac)
    assert len(digest) == mac.digest_size
    assert bytes.fromhex(mac.hex(b"message")) == digest
    assert mac.hex(b"message").islower()
    assert len(mac.base64(b"message")) == (mac.digest_size + 2) // 3 * 4


@pytest.mark.parametrize("mac", MACS, ids=repr)
def test_verify_takes_no_part_of_a_mac_unless_told(mac: Mac) -> None:
    good = mac.digest(b"message")
    assert mac.verify(b"message", good)
    assert mac.verify(b"message", memoryview(bytearray(good)))
    assert not mac.verify(b"other", good)
    for wrong in (b"", good[:16], good[:-1], good + b"\0", good[1:], good.hex().encode()):
        assert not mac.verify(b"message", wrong)
    for length in (16, 20, mac.digest_size):
        assert mac.verify(b"message", good[:length], length=length)
        for wrong in (
            good[: length - 1],
            (good + b"\0")[: length + 1],
            good[: length - 1] + bytes([good[length - 1] ^ 1]),
        ):
            assert not mac.verify(b"message", wrong, length=length)
    for length in (-1, 0, 15, mac.digest_size + 1, 1 << 40):
        with pytest.raises(ConfigError, match=f"length {length}: 16 to"):
            mac.verify(b"message", good[:length], length=length)


def test_a_prefix_outlives_its_mac() -> None:
    mac = HmacSha256(KEY)
    expected = mac.hex(b"constant and tail")
    prefix = mac.prefix(b"constant")
    del mac
    [HmacSha256(bytes([i])) for i in range(50)]  # takes the memory again
    assert prefix.hex(b" and tail") == expected
    assert HmacSha256Prefix(HmacSha256(KEY), b"constant").hex(b" and tail") == expected


def test_a_prefix_needs_a_key() -> None:
    for wrong in (None, b"key", HmacSha512(KEY)):
        with pytest.raises(TypeError):
            HmacSha256Prefix(wrong, b"")  # type: ignore[arg-type]


def test_a_mac_without_a_key_is_none() -> None:
    for use in (lambda: Mac().digest(b""), lambda: Mac().hex(b""), lambda: Mac().base64(b"")):
        with pytest.raises(TypeError, match="no key"):
            use()
    with pytest.raises((TypeError, ConfigError)):
        Mac().verify(b"", b"")


@pytest.mark.parametrize("mac", MACS, ids=repr)
def test_key_cannot_get_out(mac: Mac) -> None:
    assert repr(mac) == f"{type(mac).__name__}(***)"
    assert str(mac) == repr(mac)
    assert not hasattr(mac, "__dict__")
    assert {name for name in dir(mac) if not name.startswith("__")} <= {
        "digest", "hex", "base64", "verify", "digest_size", "many", "prefix"
    }  # fmt: skip
    for get_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            get_out(mac)


@pytest.mark.skipif("PYTHONMALLOC" in os.environ, reason="looks at memory that Python's own allocator keeps")
@pytest.mark.parametrize("make", [HmacSha256, lambda key: HmacSha256(key).prefix(b"c" * 70)])
def test_what_comes_of_a_key_is_wiped(make: Callable[[bytes], Mac]) -> None:
    mac = make(KEY)
    address, size = id(mac), mac.__sizeof__()
    held = ctypes.string_at(address, size)
    del mac
    left = ctypes.string_at(address, size)
    states = [held[i : i + 16] for i in range(32, size - 15, 16) if any(held[i : i + 16])]
    assert len(states) >= 3  # of inner and outer pad, at least
    assert not any(state in left for state in states)


# ---- the GIL ----


@contextmanager
def one_switch_at_a_release() -> Iterator[None]:
    """Threads take turns only where one releases the GIL: a count then shows a release, however busy the machine is."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def turns(act: Callable[[], Any], work: Callable[[], Any], tries: int) -> list[Any]:
    """What `act`, in a thread of its own, returned while `work` ran here, at most `tries` times."""
    results: list[Any] = []
    running, stop = threading.Event(), threading.Event()

    def other() -> None:
        running.set()
        while not stop.is_set():
            results.append(act())
            time.sleep(0.0002)

    with one_switch_at_a_release():
        thread = threading.Thread(target=other)
        thread.start()
        try:
            running.wait()
            results.clear()
            for _ in range(tries):
                work()
                if results:
                    break
            return list(results)
        finally:
            stop.set()
            thread.join()


@parametrized(ONE_MESSAGE)
def test_a_large_message_is_hashed_without_the_gil_and_stays_exported(function: Callable[[Any], Any]) -> None:
    data = bytearray(1 << 24)

    def resize() -> type[BaseException] | None:
        try:
            data.append(0)
        except BufferError as error:
            return type(error)
        del data[-1]
        return None

    seen = turns(resize, lambda: function(data), tries=50)
    assert seen
    assert set(seen) == {BufferError}
    assert len(data) == 1 << 24


def test_a_large_tree_is_hashed_without_the_gil() -> None:
    ids = b"".join(i.to_bytes(32) for i in range(1 << 16))
    assert turns(lambda: 1, lambda: merkle_root(ids), tries=50)


@parametrized(ONE_MESSAGE | MERKLE)
def test_a_small_message_is_hashed_with_the_gil(function: Callable[[Any], Any]) -> None:
    message = bytes(32 if function in MERKLE.values() else NOGIL_MIN // 4)
    assert not turns(lambda: 1, lambda: function(message), tries=500)


@pytest.mark.parametrize("function", [sha256, MACS[0].digest, MACS[1].digest, MACS[2].digest])
def test_the_limit_of_a_message(function: Callable[[bytes], bytes]) -> None:
    message = bytes(NOGIL_MIN - 1)
    assert not turns(lambda: 1, lambda: function(message), tries=500)


def test_the_limit_of_a_batch_is_a_sum() -> None:
    """Of the lengths, and 64 bytes for the padding of each."""
    for length in (0, 1, 1000):
        n = (NOGIL_MIN - 1) // (length + 64)
        assert turns(lambda: 1, lambda m=[bytes(length)] * 1000 * n: sha256_many(m), tries=50)
        assert not turns(lambda: 1, lambda m=[bytes(length)] * n: sha256_many(m), tries=500)
    assert turns(lambda: 1, lambda: sha256_many(bytes(1_000_000), 1), tries=50)
    assert not turns(lambda: 1, lambda: sha256_many(bytes(1000), 1), tries=500)


@pytest.mark.parametrize("mac", MACS, ids=repr)
def test_threads_share_a_mac(mac: Mac) -> None:
    message = bytes(1 << 20)
    expected = mac.digest(message)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(mac.digest, [message] * 20)) == {expected}


def test_all_names_are_public() -> None:
    public = {name for name in vars(crypto) if not name.startswith("_")}
    assert public == {
        "HmacSha256", "HmacSha256Prefix", "HmacSha512", "Mac", "merkle_root",
        "sha256", "sha256_many", "sha256d", "sha256d_many",
    }  # fmt: skip
