"""Any messages, fragmented and interleaved with control frames, cut anywhere: the same frames come out."""

from __future__ import annotations

import functools
import itertools
import struct
import time
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore import _codec
from hftcore._status import status_codes
from hftcore.errors import RemoteProtocolError
from hftcore.ws import Frame, FrameParser, Opcode, build_frame
from tests.utf8 import Utf8


def raw_frame(opcode: int, payload: bytes, *, fin: bool, mask: bytes) -> bytes:
    """One frame, written without the code under test."""
    length, bit = len(payload), 0x80 if mask else 0
    head = bytes([opcode | (0x80 if fin else 0)])
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += struct.pack(">BH", bit | 126, length)
    else:
        head += struct.pack(">BQ", bit | 127, length)
    return head + mask + (bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload)


controls = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))
texts = st.tuples(st.just(Opcode.TEXT), st.text(max_size=300).map(str.encode))
binaries = st.tuples(st.just(Opcode.BINARY), st.binary(max_size=300))
masks = st.binary(min_size=4, max_size=4)


@st.composite
def streams(draw: st.DrawFn, *, masked: bool) -> tuple[bytes, list[Frame]]:
    """Bytes, and what they mean: control frames arrive before the message whose fragments they interrupt."""
    data, expected = b"", []
    for opcode, payload in draw(st.lists(st.one_of(texts, binaries, controls), max_size=8)):
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))) if opcode < Opcode.CLOSE else []
        edges = [0, *cuts, len(payload)]
        for i in range(len(edges) - 1):
            mask = draw(masks) if masked else b""
            part, final = payload[edges[i] : edges[i + 1]], i == len(edges) - 2
            data += raw_frame(opcode if i == 0 else 0, part, fin=final, mask=mask)
            if not final and draw(st.booleans()):
                control, body = draw(controls)
                data += raw_frame(control, body, fin=True, mask=draw(masks) if masked else b"")
                expected.append(Frame(control, body))
        expected.append(Frame(opcode, payload))
    return data, expected


def feed_in_pieces(parser: FrameParser, data: bytes, cuts: list[int]) -> list[Frame]:
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    return [frame for start, end in itertools.pairwise(edges) for frame in parser.feed(data[start:end])]


cut_lists = st.lists(st.integers(0, 3000), max_size=30)


@given(streams(masked=False), cut_lists)
def test_client_reads_any_split(stream: tuple[bytes, list[Frame]], cuts: list[int]) -> None:
    data, expected = stream
    assert feed_in_pieces(FrameParser("client"), data, cuts) == expected
    assert feed_in_pieces(FrameParser("client"), data, list(range(len(data)))) == expected


@given(streams(masked=True), cut_lists)
def test_server_reads_any_split(stream: tuple[bytes, list[Frame]], cuts: list[int]) -> None:
    data, expected = stream
    assert feed_in_pieces(FrameParser("server"), data, cuts) == expected


@given(st.one_of(texts, binaries, controls), masks)
def test_build_frame_writes_the_one_right_frame(message: tuple[Opcode, bytes], mask: bytes) -> None:
    opcode, payload = message
    assert build_frame(opcode, payload, mask=None) == raw_frame(opcode, payload, fin=True, mask=b"")
    assert build_frame(opcode, payload, mask=mask) == raw_frame(opcode, payload, fin=True, mask=mask)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["client", "server"]), cut_lists)
def test_noise_ends_the_same_way_however_it_is_split(data: bytes, role: str, cuts: list[int]) -> None:
    def outcome(pieces: list[int]) -> tuple[list[Frame], str, int | None]:
        parser = FrameParser(role)  # type: ignore[arg-type]
        frames: list[Frame] = []
        edges = [0, *sorted(cut for cut in pieces if cut <= len(data)), len(data)]
        try:
            for start, end in itertools.pairwise(edges):
                frames += parser.feed(data[start:end])
            frames += parser.feed(b"")
        except RemoteProtocolError as error:
            return frames, error.name, error.pos
        return frames, "", None

    assert outcome(cuts) == outcome([]) == outcome(list(range(len(data))))


# ---- the core's parser, with every way to hold a frame ----

UTF8 = {name: code for name, code, _ in status_codes()}["HFT_E_WS_UTF8"]
TEXT = st.text(alphabet="aé€😀", max_size=80).map(str.encode)
BROKEN = st.sampled_from([b"\xff", b"\xed\xa0", b"\xe2\x82", b"\xc0\x80", b"\xf4\x90"])


class Part(NamedTuple):
    """One frame."""

    opcode: int
    compressed: bool
    fin: bool
    payload: bytes
    mask: bytes

    def encode(self) -> bytes:
        frame = raw_frame(self.opcode, self.payload, fin=self.fin, mask=self.mask)
        return bytes([frame[0] | (0x40 if self.compressed else 0)]) + frame[1:]


@st.composite
def mixed_parts(draw: st.DrawFn, *, masked: bool) -> list[Part]:
    """Frames of messages, some compressed, some text broken, with control frames between them."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        opcode, compressed = draw(st.sampled_from([1, 1, 2])), draw(st.integers(0, 3)) == 0
        payload = draw(st.one_of(TEXT, TEXT, st.tuples(TEXT, BROKEN, TEXT).map(b"".join), st.binary(max_size=200)))
        edges = [0, *sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))), len(payload)]
        for i, (start, end) in enumerate(itertools.pairwise(edges)):
            mask, fin = draw(masks) if masked else b"", i == len(edges) - 2
            parts.append(Part(0 if i else opcode, compressed and i == 0, fin, payload[start:end], mask))
            if draw(st.integers(0, 4)) == 0:
                parts.append(Part(9, False, True, draw(st.binary(max_size=125)), draw(masks) if masked else b""))
    return parts


def meaning(parts: list[Part]) -> tuple[list[tuple[int, bool, int, bytes]], int, int]:
    """What RFC 6455 and Python's decoder make of the frames, as _codec.ws_parse gives it."""
    events: list[tuple[int, bool, int, bytes]] = []
    opcode, compressed, message, place = 0, False, b"", 0
    text = Utf8()
    for part in parts:
        place += len(part.encode())
        if part.opcode >= Opcode.CLOSE:
            events.append((part.opcode, False, 0, part.payload))
            continue
        if part.opcode:
            opcode, compressed, message = part.opcode, part.compressed, b""
            text = Utf8()
        if opcode == Opcode.TEXT and not compressed:
            taken = text.take(part.payload)
            if taken < len(part.payload) or (part.fin and not text.whole):
                return events, UTF8, place - len(part.payload) + taken
        message += part.payload
        if part.fin:
            events.append((opcode, compressed, 0, message))
    return events, 0, place


@settings(max_examples=400)
@given(st.data(), st.booleans(), st.sampled_from([0, 2, 7, 30, 100, 130, None]), cut_lists)
def test_all_ways_to_hold_a_frame_mean_the_same(
    draw: st.DataObject, server: bool, inplace_max: int | None, cuts: list[int]
) -> None:
    parts = draw.draw(mixed_parts(masked=server))
    data = b"".join(part.encode() for part in parts)
    parse = functools.partial(_codec.ws_parse, server=server, deflate=True, inplace_max=inplace_max)
    expected = meaning(parts)
    _, status, place = expected
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    assert parse([data]) == expected
    assert parse([data[start:end] for start, end in itertools.pairwise(edges)]) == expected
    assert parse([data[i : i + 1] for i in range(len(data))]) == expected
    if status:  # as soon as the byte is there
        assert parse([data[: place + 1]]) == expected
        assert parse([data[: place // 2], data[place // 2 : place + 1]]) == expected


@pytest.mark.parametrize("server", [False, True])
def test_a_long_text_is_checked_once(server: bool) -> None:
    """Four megabytes in pieces of 16 bytes: checked from the beginning each time, they would take many seconds."""
    payload = ("a" * 12 + "é€").encode() * (1 << 18)
    data = raw_frame(Opcode.TEXT, payload, fin=True, mask=b"\0\0\0\0" if server else b"")
    pieces = [data[i : i + 17] for i in range(0, len(data), 17)]
    began = time.process_time()
    events, _, _ = _codec.ws_parse(pieces, server=server, message_max=len(payload))
    assert time.process_time() - began < 3
    assert events == [(Opcode.TEXT, False, 0, payload)]
