"""permessage-deflate against zlib, as Python binds it, and against the `websockets` library's."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError, PayloadTooBig
from websockets.exceptions import ProtocolError as WebsocketsProtocolError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from hftcore import _codec
from hftcore.errors import LimitExceeded, RemoteProtocolError
from hftcore.ws import accept_key

Params = tuple[bool, bool, int, int]  # client and server no_context_takeover, client and server max_window_bits

NAME = b"permessage-deflate"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TAIL = b"\0\0\xff\xff"
FLAGS = [False, True]
BITS = range(8, 16)
ALL = list(itertools.product(FLAGS, FLAGS, BITS, BITS))
# The sort of messages a venue sends, and others.
TRADES = [f'{{"e":"trade","s":"BTCUSDT","t":{i},"p":"5{i % 7}000.{i % 100:02}","q":"0.5"}}'.encode() for i in range(6)]


def messages(rng: random.Random, other: tuple[bool, int]) -> list[bytes]:
    """Short ones alone where the other direction, of which nothing shows here, is not as by default."""
    if other != (False, 15):
        return TRADES
    sizes = [0, 1, 2, 300, 0, 3000, 70_000]
    texts = [bytes(rng.choices(b"abcd", k=size)) for size in sizes]
    return [*TRADES, *texts, rng.randbytes(3000), *TRADES, bytes(5000), b"", texts[3], texts[5]]


# ---- messages ----


@pytest.mark.parametrize("server", FLAGS)
def test_zlib_reads_what_we_compress(server: bool) -> None:
    """Each message within the window agreed on, and without what came before it where that was agreed on."""
    rng = random.Random(1)
    for params in ALL:
        ours = _codec.Deflate(params, server=server, level=rng.randrange(10))
        alone, bits = params[server], params[2 + server]
        reader = zlib.decompressobj(-bits)
        for message in messages(rng, (params[not server], params[2 + (not server)])):
            if alone:
                reader = zlib.decompressobj(-bits)
            payload = ours.compress(message)
            assert not payload.endswith(TAIL)
            assert reader.decompress(payload + TAIL) == message
            assert reader.unused_data == b""


@pytest.mark.parametrize("server", FLAGS)
def test_we_read_what_zlib_compresses(server: bool) -> None:
    rng = random.Random(2)
    for params in ALL:
        ours = _codec.Deflate(params, server=server)
        alone, bits = params[not server], max(9, params[2 + (not server)])
        settings = {"wbits": -bits, "level": rng.randrange(10), "memLevel": rng.randrange(1, 10)}
        if params[2 + (not server)] == 8:
            settings["strategy"] = zlib.Z_HUFFMAN_ONLY
        writer = zlib.compressobj(**settings)
        for message in messages(rng, (params[server], params[2 + server])):
            if alone:
                writer = zlib.compressobj(**settings)
            cut = rng.randrange(len(message) + 1)  # several blocks in one message
            payload = writer.compress(message[:cut]) + writer.flush(zlib.Z_SYNC_FLUSH) + writer.compress(message[cut:])
            payload += writer.flush(zlib.Z_SYNC_FLUSH)
            assert ours.decompress(payload.removesuffix(TAIL), len(message)) == message


def test_a_smaller_window_than_agreed_on_is_seen() -> None:
    """No more of the messages before is kept than was agreed on."""
    far = random.Random(3).randbytes(600)
    writer = zlib.compressobj(wbits=-15)
    payloads = [(writer.compress(far) + writer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL) for _ in range(2)]
    assert len(payloads[1]) < 20
    for params, kept in [((False, False, 9, 10), True), ((False, False, 15, 9), False), ((False, True, 15, 15), False)]:
        ours = _codec.Deflate(params)
        assert ours.decompress(payloads[0], 600) == far
        if kept:
            assert ours.decompress(payloads[1], 600) == far
            continue
        with pytest.raises(RemoteProtocolError) as caught:
            ours.decompress(payloads[1], 600)
        assert caught.value.name == "HFT_E_WS_DEFLATE"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(ALL),
    st.integers(0, 9),
    st.lists(st.binary(max_size=200) | st.binary(max_size=20).map(lambda data: data * 200), max_size=6),
    st.lists(st.integers(0, 300), max_size=3),
)
def test_both_sides_are_of_one_mind(params: Params, level: int, texts: list[bytes], rooms: list[int]) -> None:
    """Also after messages that found no room, of which the other side sees nothing."""
    client, server = _codec.Deflate(params, level=level), _codec.Deflate(params, server=True)
    for i, text in enumerate(texts):
        for room in rooms[i:]:
            try:
                payload = client.compress(text * 2, room)
            except LimitExceeded:
                continue
            assert server.decompress(payload, 2 * len(text)) == text * 2
        assert server.decompress(client.compress(text), len(text)) == text
        assert client.decompress(server.compress(text), len(text)) == text


def test_the_bound_is_enough_for_what_does_not_compress() -> None:
    rng = random.Random(4)
    for bits, level in itertools.product(BITS, range(10)):
        ours = _codec.Deflate((False, False, bits, 15), level=level)
        for size in [1, 5, 100, 1000, 1023, 1024, 5000, 33_000, 70_000, 200_000]:
            ours.compress(rng.randbytes(size))  # LimitExceeded if the bound is none


def frame(payload: bytes) -> Frame:
    return Frame(Opcode.BINARY, payload, rsv1=True)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3), st.integers(1, 60))
def test_we_refuse_what_they_refuse(payloads: list[bytes], limit: int) -> None:
    """Of any bytes. They do not see that a message was cut, and go on: we refuse more, but read nothing otherwise."""
    theirs, ours = PerMessageDeflate(False, False, 15, 15), _codec.Deflate((False, False, 15, 15))
    for payload in payloads:
        try:
            expected = bytes(theirs.decode(frame(payload), max_size=limit).data)
        except (PayloadTooBig, WebsocketsProtocolError, EOFError):
            expected = None
        try:
            message = ours.decompress(payload, limit)
        except RemoteProtocolError:
            return
        if theirs.decoder.eof:  # a final block, after which they read no further
            return
        assert message == expected


# ---- negotiation ----

VALUES: list[str | None] = [None, "8", "9", "12", "15", "7", "16", "012", "x"]
NAMES = ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"]
OFFERS = list(itertools.product(FLAGS, FLAGS, [0, *range(9, 16)], [0, *BITS]))


def their_client(offer: Params) -> ClientPerMessageDeflateFactory:
    client_alone, server_alone, client_bits, server_bits = offer
    bits = True if client_bits == 15 else client_bits or None
    return ClientPerMessageDeflateFactory(server_alone, client_alone, server_bits or None, bits)


def params_of(theirs: PerMessageDeflate) -> Params:
    return (
        theirs.local_no_context_takeover,
        theirs.remote_no_context_takeover,
        theirs.local_max_window_bits,
        theirs.remote_max_window_bits,
    )


def test_our_offer_is_theirs() -> None:
    for offer in OFFERS:
        ((name, params),) = parse_extension(_codec.deflate_offer(offer).decode())
        assert name == "permessage-deflate"
        assert sorted(params) == sorted(their_client(offer).get_request_params())


params_lists = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4) | st.lists(
    st.sampled_from(
        [(NAMES[0], None), (NAMES[1], None), *((name, str(bits)) for name in NAMES[2:] for bits in (9, 12, 15))]
    ),
    max_size=4,
    unique_by=lambda param: param[0],
)


@settings(max_examples=1000)
@given(st.sampled_from(OFFERS), params_lists, st.sampled_from(["", "another", "more"]))
def test_we_take_the_answers_they_take(offer: Params, answer: list[tuple[str, str | None]], odd: str) -> None:
    if odd == "another" and answer:
        answer[0] = (answer[0][0] + "s", answer[0][1])
    value = "; ".join([NAME.decode(), *(name if value is None else f"{name}={value}" for name, value in answer)])
    try:
        (_, parsed), *_ = parse_extension(value)
        theirs = params_of(their_client(offer).process_response_params(parsed, []))
    except NegotiationError as error:
        if "use 9" in str(error):  # we can: see hft/deflate.h
            return
        theirs = None
    if odd == "more":
        value, theirs = value + ", permessage-deflate", None
    try:
        ours = _codec.deflate_agree(offer, value.encode())
    except RemoteProtocolError:
        ours = None
    assert ours == theirs


def test_a_session_with_their_server() -> None:
    rng = random.Random(5)
    for offer in OFFERS:
        bits = [rng.choice([None, *range(9, 16)]), rng.choice([None, *range(9, 16)])]
        factory = ServerPerMessageDeflateFactory(rng.random() < 0.5, rng.random() < 0.5, *bits)
        server = ServerProtocol(extensions=[factory])
        value = _codec.deflate_offer(offer)
        server.receive_data(_codec.http1_build_upgrade(b"a", b"/", KEY.encode(), extensions=value))
        (request,) = server.events_received()
        assert isinstance(request, Request)
        server.send_response(server.accept(request))
        (answer,) = server.data_to_send()
        size, _, extensions = _codec.http1_parse_upgrade(answer, accept_key(KEY).encode(), extensions=value)
        assert size == len(answer)
        if offer[3] == 8:  # which their compressor has not
            assert extensions == b""
            continue
        agreed = _codec.deflate_agree(offer, extensions)
        (theirs,) = server.extensions
        assert isinstance(theirs, PerMessageDeflate)
        assert agreed == tuple(params_of(theirs)[i] for i in (1, 0, 3, 2))
        talk(_codec.Deflate(agreed), theirs)


def test_a_session_with_their_client() -> None:
    rng = random.Random(6)
    for offer in OFFERS:
        own = (rng.random() < 0.5, rng.random() < 0.5, rng.choice([0, *range(9, 16)]), rng.choice([0, *BITS]))
        names = [Subprotocol("b"), Subprotocol("a")]
        client = ClientProtocol(parse_uri("ws://a:9/x"), extensions=[their_client(offer)], subprotocols=names)
        client.send_request(client.connect())
        (data,) = client.data_to_send()
        size, target, host, key, subprotocols, offers = _codec.http1_parse_request(data)
        assert (size, target, host, subprotocols) == (len(data), b"/x", b"a:9", b"b, a")
        value, agreed = _codec.deflate_answer(own, offers)
        client.receive_data(_codec.http1_build_response(accept_key(key.decode()).encode(), b"a", value))
        client.events_received()
        assert client.handshake_exc is None
        assert client.subprotocol == "a"
        (theirs,) = client.extensions
        assert isinstance(theirs, PerMessageDeflate)
        assert agreed == params_of(theirs)
        talk(_codec.Deflate(agreed, server=True), theirs)


def talk(ours: _codec.Deflate, theirs: PerMessageDeflate) -> None:
    for message in [*TRADES, b"", b"x" * 3000, *TRADES]:
        received = theirs.decode(frame(ours.compress(message)), max_size=len(message) + 1)
        assert bytes(received.data) == message
        sent = theirs.encode(Frame(Opcode.BINARY, message))
        assert sent.rsv1
        assert ours.decompress(bytes(sent.data), len(message)) == message
