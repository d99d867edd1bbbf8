"""Frames and handshake against the `websockets` library: what one writes, the other reads, in both directions."""

from __future__ import annotations

import base64
import codecs
import itertools
import random
import struct

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.exceptions import ProtocolError as WebsocketsProtocolError
from websockets.frames import Close
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from hftcore import _codec
from hftcore.errors import LocalProtocolError, RemoteProtocolError
from hftcore.ws import Frame, FrameParser, Opcode, accept_key, build_frame

SIZES = [0, 1, 2, 3, 7, 8, 15, 31, 32, 33, 124, 125, 126, 127, 250, 1000, 65535, 65536, 100_000]


def random_payload(rng: random.Random, opcode: Opcode, size: int) -> bytes:
    if opcode == Opcode.TEXT:
        return "".join(rng.choices("ab€é\U0001f600 {}", k=size)).encode()[:size].decode(errors="ignore").encode()
    return rng.randbytes(size)


def random_pieces(rng: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(8)))
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def random_messages(rng: random.Random) -> list[Frame]:
    messages = []
    for size in rng.sample(SIZES, len(SIZES)):
        opcode = rng.choice([Opcode.TEXT, Opcode.BINARY] + ([Opcode.PING, Opcode.PONG] if size <= 125 else []))
        messages.append(Frame(opcode, random_payload(rng, opcode, size)))
    return messages


@pytest.mark.parametrize("side", [Side.SERVER, Side.CLIENT])
@pytest.mark.parametrize("seed", range(5))
def test_they_read_what_we_write(side: Side, seed: int) -> None:
    rng = random.Random(seed)
    messages = random_messages(rng)
    mask = "random" if side is Side.SERVER else None
    data = b"".join(build_frame(message.opcode, message.data, mask=mask) for message in messages)
    data += build_frame(Opcode.CLOSE, struct.pack(">H", 3001) + b"bye", mask=mask)
    them = Protocol(side, state=State.OPEN)
    for piece in random_pieces(rng, data):
        them.receive_data(piece)
    received = [event for event in them.events_received() if isinstance(event, TheirFrame)]
    assert them.parser_exc is None
    assert [(frame.opcode, bytes(frame.data)) for frame in received[:-1]] == [(m.opcode, m.data) for m in messages]
    assert them.close_rcvd == Close(3001, "bye")


@pytest.mark.parametrize("side", [Side.SERVER, Side.CLIENT])
@pytest.mark.parametrize("seed", range(5))
def test_they_read_our_fragments(side: Side, seed: int) -> None:
    rng = random.Random(seed)
    mask = "random" if side is Side.SERVER else None
    them = Protocol(side, state=State.OPEN)
    for opcode, size in itertools.product([Opcode.TEXT, Opcode.BINARY], SIZES):
        payload = random_payload(rng, opcode, size)
        parts = random_pieces(rng, payload)
        for i, part in enumerate(parts):
            fin = i == len(parts) - 1
            them.receive_data(build_frame(Opcode.CONTINUATION if i else opcode, part, mask=mask, fin=fin))
        received = [event for event in them.events_received() if isinstance(event, TheirFrame)]
        assert them.parser_exc is None
        assert [frame.opcode for frame in received] == [int(opcode), *[0] * (len(parts) - 1)]
        assert [frame.fin for frame in received] == [False] * (len(parts) - 1) + [True]
        assert b"".join(frame.data for frame in received) == payload


@pytest.mark.parametrize("side", [Side.SERVER, Side.CLIENT])
@pytest.mark.parametrize("seed", range(5))
def test_we_read_what_they_write(side: Side, seed: int) -> None:
    rng = random.Random(seed)
    them = Protocol(side, state=State.OPEN)
    expected = []
    for message in random_messages(rng):
        match message.opcode:
            case Opcode.PING:
                them.send_ping(message.data)
            case Opcode.PONG:
                them.send_pong(message.data)
            case opcode:
                parts = [message.data] if rng.random() < 0.5 else random_pieces(rng, message.data)
                send = them.send_text if opcode == Opcode.TEXT else them.send_binary
                send(parts[0], fin=len(parts) == 1)
                for i, part in enumerate(parts[1:], start=2):
                    them.send_continuation(part, fin=i == len(parts))
        expected.append(message)
    them.send_close(1000, "done")
    expected.append(Frame(Opcode.CLOSE, b"done", 1000))
    data = b"".join(them.data_to_send())
    parser = FrameParser("client" if side is Side.SERVER else "server")
    assert [frame for piece in random_pieces(rng, data) for frame in parser.feed(piece)] == expected


@st.composite
def doubtful_frames(draw: st.DrawFn) -> bytes:
    """A whole frame that often breaks a rule: one that websockets checks too."""
    opcode = draw(st.sampled_from([0, 0, 1, 1, 2, 3, 7, 8, 9, 10, 11, 15]))
    reserved = draw(st.sampled_from([0] * 9 + [1, 2, 4]))
    fin = draw(st.sampled_from([1, 1, 1, 0]))
    masked = draw(st.sampled_from([0] * 9 + [1]))
    payload = draw(st.one_of(st.binary(max_size=130), st.text(max_size=60).map(str.encode)))
    if opcode == 8 and draw(st.booleans()):
        payload = struct.pack(">H", draw(st.sampled_from([999, 1000, 1004, 1005, 1006, 1014, 1015, 2999, 3000, 5000])))
    length = struct.pack(">B", 128 * masked | len(payload))
    if len(payload) > 125:
        length = struct.pack(">BH", 128 * masked | 126, len(payload))
    return bytes([fin << 7 | reserved << 4 | opcode]) + length + (bytes(4) if masked else b"") + payload


def their_verdict(data: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """Whole messages and control frames up to the first close frame, and whether the stream was refused."""
    them = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
    them.receive_data(data)
    whole, opcode, message = [], 0, b""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for event in them.events_received():
        assert isinstance(event, TheirFrame)
        if event.opcode >= TheirOpcode.CLOSE:
            whole.append((int(event.opcode), bytes(event.data)))
            continue
        opcode, message = event.opcode or opcode, message + event.data
        if opcode == TheirOpcode.TEXT:  # they leave UTF-8 to the caller, who decodes as fragments arrive
            try:
                decoder.decode(event.data, final=event.fin)
            except UnicodeDecodeError:
                return whole, True
        if event.fin:
            whole.append((int(opcode), message))
            opcode, message = 0, b""
    refused = isinstance(them.parser_exc, WebsocketsProtocolError | UnicodeDecodeError | PayloadTooBig)
    # They refuse a close frame between fragments, which RFC 6455 does not.
    assume(str(them.parser_exc) != "incomplete fragmented message")
    return whole, refused


@settings(max_examples=1000)
@given(st.lists(doubtful_frames(), min_size=1, max_size=6))
def test_we_accept_and_refuse_what_they_do(frames: list[bytes]) -> None:
    expected, refused = their_verdict(b"".join(frames))
    parser = FrameParser("client")
    ours: list[tuple[int, bytes]] = []
    fault = None
    try:
        for frame in parser.feed(b"".join(frames)):
            code = b"" if frame.close_code in (None, 1005) else struct.pack(">H", frame.close_code)
            ours.append((int(frame.opcode), code + frame.data))
            if frame.opcode == Opcode.CLOSE:
                break
        else:
            fault = parser.error
    except RemoteProtocolError as error:
        fault = error
    assert ours == expected
    assert (fault is not None) == refused


def test_limit_is_theirs() -> None:
    for size, refused in [(1000, False), (1001, True)]:
        data = TheirFrame(TheirOpcode.BINARY, bytes(size)).serialize(mask=False)
        them = Protocol(Side.CLIENT, state=State.OPEN, max_size=1000)
        them.receive_data(data)
        assert isinstance(them.parser_exc, PayloadTooBig) == refused
        parser = FrameParser(max_message=1000)
        if refused:
            with pytest.raises(RemoteProtocolError):
                parser.feed(data)
        else:
            assert len(parser.feed(data)) == 1
        assert parser.close_code == (1009 if refused else None)


# --- the handshake -------------------------------------------------------------------------------------------------


def new_key(rng: random.Random) -> str:
    return base64.b64encode(rng.randbytes(16)).decode()


def their_answer(request: bytes, **options: object) -> tuple[Request, bytes, ServerProtocol]:
    server = ServerProtocol(**options)  # type: ignore[arg-type]
    server.receive_data(request)
    (parsed,) = server.events_received()
    assert isinstance(parsed, Request)
    server.send_response(server.accept(parsed))
    return parsed, b"".join(server.data_to_send()), server


@pytest.mark.parametrize("seed", range(5))
def test_their_server_accepts_our_request_and_we_its_answer(seed: int) -> None:
    key = new_key(random.Random(seed))
    request = _codec.http1_build_upgrade(b"localhost:8443", b"/ws-api/v3?x=1", key.encode(), b"User-Agent: hftcore\r\n")
    parsed, answer, server = their_answer(request)
    assert server.state is State.OPEN
    assert parsed.path == "/ws-api/v3?x=1"
    assert parsed.headers["Host"] == "localhost:8443"
    assert parsed.headers["User-Agent"] == "hftcore"
    accept = accept_key(key).encode()
    for cut in range(len(answer)):
        assert _codec.http1_parse_upgrade(answer[:cut], accept)[0] == 0
    assert _codec.http1_parse_upgrade(answer, accept) == (len(answer), b"", b"")
    server.send_text(b"hi")
    frames = b"".join(server.data_to_send())
    assert _codec.http1_parse_upgrade(answer + frames, accept)[0] == len(answer)
    with pytest.raises(RemoteProtocolError) as caught:
        _codec.http1_parse_upgrade(answer, accept_key(new_key(random.Random(99))).encode())
    assert caught.value.name == "HFT_E_HTTP_ACCEPT"


def test_their_refusal_is_ours() -> None:
    request = _codec.http1_build_upgrade(
        b"localhost", b"/", new_key(random.Random(1)).encode(), b"Origin: http://a\r\n"
    )
    _, answer, server = their_answer(request, origins=["http://b"])
    assert server.state is not State.OPEN
    with pytest.raises(RemoteProtocolError, match="403 Forbidden") as caught:
        _codec.http1_parse_upgrade(answer, b"x" * 28)
    assert caught.value.name == "HFT_E_HTTP_STATUS"


def test_their_client_agrees_on_the_accept_value() -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"))
    request = client.connect()
    client.send_request(request)
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(request.headers['Sec-WebSocket-Key'])}\r\n\r\n"
    ).encode()
    client.receive_data(answer)
    assert client.handshake_exc is None
    assert client.state is State.OPEN


GOOD_FIELDS = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: {accept}"]
OTHER_FIELDS = [
    "upgrade: WebSocket", "Upgrade: h2c", "connection: keep-alive, UPGRADE", "Connection: close",
    "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Protocol: chat", "Server: x", "Empty:", "No colon", "Space : before", ": no name", " folded",
    "X: a\x7fb",
]  # fmt: skip


@settings(max_examples=500)
@given(
    st.permutations(GOOD_FIELDS),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(OTHER_FIELDS)), max_size=2),
    st.sets(st.integers(0, 2), max_size=1),
    st.sampled_from(["HTTP/1.1 101 Switching Protocols"] * 8 + ["HTTP/1.1 200 OK", "HTTP/1.0 101 X", "HTTP/1.1 101"]),
)
def test_we_take_the_answers_their_client_takes(
    good: list[str], others: list[tuple[int, str]], missing: set[int], status: str
) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"))
    request = client.connect()
    client.send_request(request)
    accept = accept_key(request.headers["Sec-WebSocket-Key"])
    fields = [field for i, field in enumerate(good) if i not in missing]
    for place, field in others:
        fields.insert(place, field)
    answer = "\r\n".join([status, *fields, "", ""]).format(accept=accept).encode()
    client.receive_data(answer)
    accepted = client.handshake_exc is None and client.state is State.OPEN
    try:
        ours = _codec.http1_parse_upgrade(answer, accept.encode())[0] == len(answer)
    except RemoteProtocolError:
        ours = False
    assert ours == accepted


def test_requests_that_would_not_be_one_are_refused() -> None:
    key = new_key(random.Random(1)).encode()
    for host, target, headers in [
        (b"a\r\nX: b", b"/", b""),
        (b"a", b"/ HTTP/1.1\r\nX: b", b""),
        (b"a", b"/", b"X: b\r\n\r\nGET / HTTP/1.1\r\n"),
        (b"a", b"/", b"Sec-WebSocket-Protocol: chat\r\n"),
    ]:
        with pytest.raises(LocalProtocolError):
            _codec.http1_build_upgrade(host, target, key, headers)
