"""WebSocket frames of 200 bytes beside websockets."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from hftcore import ws

PAYLOAD = os.urandom(150).hex()[:200].encode()
UNMASKED = bytes(ws.build_frame(ws.Opcode.TEXT, PAYLOAD, mask=None))


def parse_ours(parser: ws.FrameParser) -> bytes:
    return parser.feed(UNMASKED)[0].data


def parse_websockets(reader: StreamReader) -> bytes:
    reader.feed_data(UNMASKED)
    parsing: Any = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        return bytes(done.value.data)
    raise AssertionError("a whole frame was fed")


@pytest.mark.benchmark(group="build and mask a frame, 200 bytes")
@pytest.mark.parametrize("who", ["hftcore", "websockets"])
def test_build(benchmark: BenchmarkFixture, who: str) -> None:
    if who == "hftcore":
        frame = benchmark(lambda: ws.build_frame(ws.Opcode.TEXT, PAYLOAD, mask="random"))
    else:
        frame = benchmark(lambda: Frame(Opcode.TEXT, PAYLOAD).serialize(mask=True))
    mask = frame[4:8]
    assert bytes(byte ^ mask[index % 4] for index, byte in enumerate(frame[8:])) == PAYLOAD


@pytest.mark.benchmark(group="parse a frame, 200 bytes")
@pytest.mark.parametrize("who", ["hftcore", "websockets"])
def test_parse(benchmark: BenchmarkFixture, who: str) -> None:
    if who == "hftcore":
        data = benchmark(parse_ours, ws.FrameParser(role="client"))
    else:
        data = benchmark(parse_websockets, StreamReader())
    assert data == PAYLOAD
