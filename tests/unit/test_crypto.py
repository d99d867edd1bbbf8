"""What hftcore.crypto accepts, and what it keeps to itself."""

from __future__ import annotations

import copy
import pickle
from array import array

import pytest

from hftcore.crypto import HmacSha256, sha256, sha256d


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: array("B", data)])
def test_takes_any_contiguous_buffer(make) -> None:
    assert sha256(make(b"abc")) == sha256(b"abc")
    assert sha256d(make(b"abc")) == sha256(sha256(b"abc"))
    assert HmacSha256(make(b"key")).digest(make(b"abc")) == HmacSha256(b"key").digest(b"abc")


@pytest.mark.parametrize("function", [sha256, sha256d, HmacSha256, HmacSha256(b"k").digest])
def test_refuses_the_rest(function) -> None:
    with pytest.raises(TypeError):
        function("text")
    with pytest.raises(BufferError):
        function(memoryview(b"abcd")[::2])


def test_releases_its_buffers() -> None:
    data = bytearray(b"abc")
    mac = HmacSha256(data)
    mac.verify(data, data)
    sha256(data)
    data.extend(b"def")  # BufferError while a view is held


def test_key_cannot_get_out() -> None:
    mac = HmacSha256(b"secret")
    assert "secret" not in repr(mac)
    assert not hasattr(mac, "__dict__")
    for get_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            get_out(mac)
