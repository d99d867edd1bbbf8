"""hftcore.ws as Python sees it: what it returns, what it refuses, which error says so."""

from __future__ import annotations

import gc
import struct
import subprocess
import sys

import pytest

import buildconf
from hftcore.errors import ConfigError, LocalProtocolError, ProtocolError, RemoteProtocolError
from hftcore.ws import Frame, FrameParser, Opcode, accept_key, build_frame


def test_examples_of_rfc_6455_section_5_7() -> None:
    hello = Frame(Opcode.TEXT, b"Hello")
    mask = bytes.fromhex("37fa213d")
    assert build_frame(Opcode.TEXT, "Hello", mask=None) == bytes.fromhex("810548656c6c6f")
    assert build_frame(Opcode.TEXT, "Hello", mask=mask) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert build_frame(Opcode.PING, b"Hello", mask=None) == bytes.fromhex("890548656c6c6f")
    assert build_frame(Opcode.PONG, b"Hello", mask=mask) == bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert build_frame(Opcode.BINARY, bytes(256), mask=None) == bytes.fromhex("827e0100") + bytes(256)
    assert build_frame(Opcode.BINARY, bytes(65536), mask=None) == bytes.fromhex("827f0000000000010000") + bytes(65536)
    assert FrameParser().feed(bytes.fromhex("810548656c6c6f")) == [hello]
    assert FrameParser("server").feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [hello]
    assert FrameParser().feed(bytes.fromhex("010348656c80026c6f")) == [hello]


def test_accept_key() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


@pytest.mark.parametrize(
    "key", ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZWFh", "dGhlIHNhbXBsZSBub25jZQ=\n", "é" * 24, "=" * 24]
)
def test_accept_key_refuses_what_is_no_key(key: str) -> None:
    with pytest.raises(LocalProtocolError):
        accept_key(key)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_data(kind: type) -> None:
    assert build_frame(Opcode.TEXT, kind(b"abc"), mask=kind(b"\0\0\0\0")) == b"\x81\x83\0\0\0\0abc"
    assert FrameParser().feed(kind(b"\x81\x03abc")) == [Frame(Opcode.TEXT, b"abc")]


FORK = """
import os
from hftcore.ws import Opcode, build_frame

def mask():
    return build_frame(Opcode.TEXT, "x", mask="random")[2:6]

mask()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, mask())
    os._exit(0)
os.wait()
assert os.read(reading, 4) != mask()
"""


def test_a_forked_child_masks_otherwise() -> None:
    subprocess.run([sys.executable, "-c", FORK], cwd=buildconf.ROOT, check=True, timeout=60)


def test_random_masks_differ() -> None:
    masks = {build_frame(Opcode.TEXT, "x", mask="random")[2:6] for _ in range(5000)}
    assert len(masks) > 4990  # of 2**32


def test_input_of_a_server_is_not_changed_by_unmasking() -> None:
    data = bytearray(build_frame(Opcode.TEXT, "Hello", mask=b"abcd"))
    before = bytes(data)
    assert FrameParser("server").feed(data) == [Frame(Opcode.TEXT, b"Hello")]
    assert data == before


def test_frames_in_front_of_a_fault_are_returned() -> None:
    parser = FrameParser()
    assert parser.error is None
    assert parser.close_code is None
    assert parser.feed(b"\x81\x01a\x81\x01b\x83\x00") == [Frame(Opcode.TEXT, b"a"), Frame(Opcode.TEXT, b"b")]
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="reserved WebSocket opcode") as caught:
            parser.feed(b"")
        assert caught.value.name == "HFT_E_WS_OPCODE"
        assert caught.value.pos == 6
    assert isinstance(parser.error, RemoteProtocolError)
    assert parser.close_code == 1002


def test_pos_counts_from_the_start_of_the_stream() -> None:
    parser = FrameParser()
    assert parser.feed(b"\x81\x05He") == []
    assert len(parser.feed(b"llo\x82")) == 1
    with pytest.raises(RemoteProtocolError) as caught:
        parser.feed(b"\x80")
    assert caught.value.name == "HFT_E_WS_MASK"
    assert caught.value.pos == 8


@pytest.mark.parametrize(
    ("data", "name", "close_code"),
    [
        (b"\x81\x02\xc3\x28", "HFT_E_WS_UTF8", 1007),
        (b"\x82\x7e\x03\xe9", "HFT_E_WS_TOO_LARGE", 1009),
        (b"\x82\x7e\x00\x01", "HFT_E_WS_LENGTH", 1002),
        (b"\x80\x00", "HFT_E_WS_CONTINUATION", 1002),
        (b"\x88\x02\x03\xed", "HFT_E_WS_CLOSE_CODE", 1002),
        (b"\x09\x00", "HFT_E_WS_CONTROL", 1002),
        (b"\xc1\x00", "HFT_E_WS_RESERVED", 1002),
    ],
)
def test_faults(data: bytes, name: str, close_code: int) -> None:
    parser = FrameParser(max_message=1000)
    with pytest.raises(RemoteProtocolError) as caught:
        parser.feed(data)
    assert caught.value.name == name
    assert parser.close_code == close_code


def test_message_limit_counts_fragments_together() -> None:
    fragment = b"\x02\x05abcde"
    assert FrameParser(max_message=10).feed(fragment + b"\x80\x05fghij") == [Frame(Opcode.BINARY, b"abcdefghij")]
    with pytest.raises(RemoteProtocolError, match="over the limit"):
        FrameParser(max_message=10).feed(fragment + b"\x80\x06")


@pytest.mark.parametrize(
    ("opcode", "payload", "name"),
    [
        (3, b"", "HFT_E_WS_OPCODE"),
        (16, b"", "HFT_E_WS_OPCODE"),
        (Opcode.PING, bytes(126), "HFT_E_WS_CONTROL"),
        (Opcode.TEXT, b"\xff", "HFT_E_WS_UTF8"),
        (Opcode.CLOSE, b"\x03", "HFT_E_WS_CLOSE_CODE"),
        (Opcode.CLOSE, struct.pack(">H", 1005), "HFT_E_WS_CLOSE_CODE"),
        (Opcode.CLOSE, struct.pack(">H", 1000) + b"\xff", "HFT_E_WS_UTF8"),
    ],
)
def test_what_may_not_be_sent(opcode: int, payload: bytes, name: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        build_frame(opcode, payload, mask=None)
    assert caught.value.name == name
    assert isinstance(caught.value, ProtocolError)


def test_fragments() -> None:
    """Each with a header of its own; a character may be cut, but not wrong already."""
    assert build_frame(Opcode.TEXT, "Hel", mask=None, fin=False) == bytes.fromhex("010348656c")  # section 5.7
    assert build_frame(Opcode.CONTINUATION, b"lo", mask=None) == bytes.fromhex("80026c6f")
    assert build_frame(Opcode.CONTINUATION, b"", mask=None, fin=False) == bytes.fromhex("0000")
    masked = build_frame(Opcode.BINARY, bytes(200), mask=b"abcd", fin=False)
    assert masked == bytes.fromhex("02fe00c8") + b"abcd" * 51
    assert build_frame(Opcode.TEXT, b"\xe2\x82", mask=None, fin=False) == b"\x01\x02\xe2\x82"
    for opcode, payload, name in [
        (Opcode.TEXT, b"\xe2\x28", "HFT_E_WS_UTF8"),
        (Opcode.PING, b"", "HFT_E_WS_CONTROL"),
        (Opcode.CLOSE, b"", "HFT_E_WS_CONTROL"),
        (3, b"", "HFT_E_WS_OPCODE"),
        (11, b"", "HFT_E_WS_OPCODE"),
    ]:
        with pytest.raises(LocalProtocolError) as caught:
            build_frame(opcode, payload, mask=None, fin=False)
        assert caught.value.name == name


def test_text_is_refused_at_its_first_wrong_byte() -> None:
    for start in (b"\x81\x7e\x03\xe8", b"\x01\x7e\x03\xe8", b"\x01\x01a\x00\x7e\x03\xe7"):
        parser = FrameParser()
        assert parser.feed(start + b"abc\xf4") == []
        with pytest.raises(RemoteProtocolError) as caught:
            parser.feed(b"\x90")  # beyond U+10FFFF
        assert (caught.value.name, caught.value.pos) == ("HFT_E_WS_UTF8", len(start) + 4)


def test_what_is_fed_is_never_written_to() -> None:
    """Messages are unmasked in a copy, whole or in pieces."""
    frame = bytes(build_frame(Opcode.BINARY, b"Hello" * 50, mask=b"abcd"))
    for pieces in ([frame], [frame[:9], frame[9:100], frame[100:]]):
        before = [bytes(bytearray(piece)) for piece in pieces]
        parser = FrameParser("server")
        assert [found for piece in pieces for found in parser.feed(piece)] == [Frame(Opcode.BINARY, b"Hello" * 50)]
        assert pieces == before


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError):
        FrameParser("observer")  # type: ignore[arg-type]
    for limit in (0, -1, 1 << 31):
        with pytest.raises(ConfigError):
            FrameParser(max_message=limit)
    for mask in (b"abc", b"", b"abcde", "Random"):
        with pytest.raises(LocalProtocolError):
            build_frame(Opcode.TEXT, "", mask=mask)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        build_frame(Opcode.TEXT, "", mask=4)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        build_frame(Opcode.TEXT, "")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        build_frame(Opcode.PING, "text", mask=None)
    with pytest.raises(UnicodeEncodeError):
        build_frame(Opcode.TEXT, "\ud800", mask=None)
    with pytest.raises(TypeError):
        FrameParser().feed("text")  # type: ignore[arg-type]


def test_frame_is_a_value() -> None:
    frame = Frame(Opcode.CLOSE, b"bye", 1000)
    assert frame == Frame(Opcode.CLOSE, b"bye", 1000)
    assert hash(frame) == hash(Frame(Opcode.CLOSE, b"bye", 1000))
    assert frame != Frame(Opcode.CLOSE, b"bye", 1001)
    assert frame != Frame(Opcode.CLOSE, b"by", 1000)
    assert frame != (Opcode.CLOSE, b"bye", 1000)
    assert repr(frame) == "Frame(<Opcode.CLOSE: 8>, b'bye', close_code=1000)"
    with pytest.raises(AttributeError):
        frame.data = b""  # type: ignore[misc]


def test_close_without_a_code_is_1005() -> None:
    assert FrameParser().feed(b"\x88\x00\x89\x00") == [Frame(Opcode.CLOSE, b"", 1005), Frame(Opcode.PING, b"")]


def test_nothing_is_kept_of_what_was_consumed() -> None:
    parser = FrameParser(max_message=1 << 20)
    frame = build_frame(Opcode.BINARY, bytes(60_000), mask=None)
    parser.feed(frame)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        assert len(parser.feed(frame)) == 1
    gc.collect()
    assert abs(sys.getallocatedblocks() - before) < 50
