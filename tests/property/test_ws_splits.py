"""Any messages, fragmented and interleaved with control frames, cut anywhere: the same frames come out."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore.errors import RemoteProtocolError
from hftcore.ws import Frame, FrameParser, Opcode, build_frame


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
