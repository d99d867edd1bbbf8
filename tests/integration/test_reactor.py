"""The reactor's connections against `websockets`, and against servers that break the rules; on both backends."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import struct
import threading
import time
import zlib
from typing import Any

import pytest
import websockets
from websockets.sync.server import ServerConnection

from hftcore.errors import (
    ConfigError,
    ConnectionClosed,
    ConnectionLost,
    HandshakeError,
    HftError,
    LocalProtocolError,
    RemoteProtocolError,
    TLSError,
)
from hftcore.orders import OrderTemplate
from hftcore.reactor import Connection, Deflate, Message, Reactor
from hftcore.tls import TLSContext
from hftcore.venues import Slot
from tests.integration import rig
from tests.integration.wsrig import QUIET, Echoer, RawPeer, Recorder, raw_server, run, run_until, websockets_server

# ---- messages ----

# Around every length that a frame header, a TLS record or a buffer changes at.
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 16368, 16369, 16370, 16371, 16376, 16384, 32760, 131050, 131072, 500_000]
COMPRESSIONS = {
    "plain": None,
    "deflate": Deflate(min_size=0),
    "no context": Deflate(client_no_context_takeover=True, server_no_context_takeover=True, level=6),
    "small windows": Deflate(client_max_window_bits=9, server_max_window_bits=9),
}


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_messages_of_all_sizes_come_back(
    reactor: Reactor, trust: rig.Trust, tls: bool, compression: Deflate | None
) -> None:
    noise = random.Random(5)
    messages: list[str | bytes] = []
    for size in SIZES:
        messages += [noise.randbytes(size), ("é" * size)[: size // 2] + "x" * (size % 2)]
    handler = Echoer(messages)
    options: dict[str, Any] = {"tls": TLSContext(ca_file=trust.ca_file)} if tls else {}
    with websockets_server(ssl=trust.context if tls else None, compression="deflate" if compression else None) as port:
        connection = run(
            reactor, handler, f"{'wss' if tls else 'ws'}://localhost:{port}/", compression=compression, **options
        )
    assert handler.error is None
    assert handler.messages == messages
    assert (connection.extensions is not None) == (compression is not None)
    stats = connection.stats()
    assert stats is not None
    assert stats.messages_in == stats.messages_out == len(messages)
    assert (
        stats.payload_in
        == stats.payload_out
        == sum(len(message.encode() if isinstance(message, str) else message) for message in messages)
    )
    if tls:
        assert connection.tls_version == "TLSv1.3"


def test_buffers_and_prepared_text_are_sent(reactor: Reactor) -> None:
    def send(connection: Connection) -> None:
        connection.send(bytearray(b"array"))
        connection.send(memoryview(b"a view")[2:])
        connection.send_text("prepared é".encode())

    handler = Recorder(on_open=send)
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: len(handler.messages) == 3)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == [b"array", b"view", "prepared é"]


def test_templates_are_filled_as_they_are_sent(reactor: Reactor) -> None:
    template = OrderTemplate('{"a":"${a}","b":${b}}', slots={"a": Slot("text", max_len=4), "b": Slot("uint")})

    def send(connection: Connection) -> None:
        connection.send_template(template, a="one", b=1)
        connection.send_template(template, b=2, a="two")
        with pytest.raises(LocalProtocolError, match="slot a"):
            connection.send_template(template, a="too long", b=3)
        with pytest.raises(LocalProtocolError, match="b needs a value"):
            connection.send_template(template, a="four")

    handler = Recorder(on_open=send)
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: len(handler.messages) == 2)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == ['{"a":"one","b":1}', '{"a":"two","b":2}']
    with pytest.raises(ConnectionClosed):
        connection.send_template(template, a="one", b=1)


def test_text_that_is_no_unicode_is_not_sent(reactor: Reactor) -> None:
    def send(connection: Connection) -> None:
        with pytest.raises(UnicodeEncodeError):
            connection.send("\ud800")
        with pytest.raises(TypeError):
            connection.send(5)  # type: ignore[arg-type]
        connection.send("after")

    handler = Recorder(on_open=send)
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: handler.messages)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == ["after"]


def test_fragments_are_put_together_with_pings_between(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        piece = b"\xe2\x82"  # the beginning of a euro sign
        peer.sock.sendall(b"\x01\x02" + piece + b"\x89\x03abc" + b"\x80\x01\xac")
        assert peer.read_frame() == (10, b"abc")
        assert peer.read_frame() == (8, struct.pack(">H", 1000))
        peer.send(8, struct.pack(">H", 1000))

    handler = Recorder()
    with raw_server(play) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: handler.messages)
        connection.close()
        run_until(reactor, lambda: "close" in handler.kinds)
    assert handler.messages == ["€"]
    assert handler.error is None


def test_a_message_that_nobody_keeps_is_used_again(reactor: Reactor) -> None:
    seen: list[int] = []
    kept: list[Message] = []

    class Keeper(Echoer):
        def on_message(self, connection: Connection, message: Message) -> None:
            seen.append(id(message))
            if len(seen) == 3:
                kept.append(message)
            if len(seen) == 4:
                kept.append(message)
                assert message.text == "4"  # made before it is copied
            self.go_on(connection)

    handler = Keeper([str(i) for i in range(1, 7)])
    with websockets_server() as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert seen[0] == seen[1] == seen[2]
    assert len({seen[2], seen[3], seen[4]}) == 3
    assert seen[4] == seen[5]
    assert [(m.text, m.data, len(m), m.is_text) for m in kept] == [("3", b"3", 1, True), ("4", b"4", 1, True)]


def test_a_message_over_the_limit_ends_the_connection(reactor: Reactor) -> None:
    codes: list[int | None] = []

    def play(connection: ServerConnection) -> None:
        connection.send("x" * 1000)
        connection.send("x" * 1001)
        with contextlib.suppress(websockets.ConnectionClosed):
            connection.recv()
        codes.append(connection.close_code)

    handler = Recorder()
    with websockets_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", max_message=1000)
    assert handler.messages == ["x" * 1000]
    assert handler.error.name == "HFT_E_WS_TOO_LARGE"
    assert codes == [1009]


def deflated(payload: bytes, *, text: bool = False) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    length = bytes([len(body)]) if len(body) < 126 else b"\x7e" + struct.pack(">H", len(body))
    return bytes([0xC1 if text else 0xC2]) + length + body


@pytest.mark.parametrize(
    ("frame", "name", "code"),
    [
        (deflated(b"\0" * 5_000_000), "HFT_E_WS_TOO_LARGE", 1009),
        (deflated(b"ab\xff", text=True), "HFT_E_WS_UTF8", 1007),
        (b"\xc2\x03\xff\xff\xff", "HFT_E_WS_DEFLATE", 1002),
    ],
    ids=["bomb", "text that is not UTF-8", "not deflated"],
)
def test_compressed_messages_that_may_not_be(reactor: Reactor, frame: bytes, name: str, code: int) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade(extra=b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n")
        peer.sock.sendall(deflated(b"fine") + frame)
        assert peer.read_frame() == (8, struct.pack(">H", code))

    handler = Recorder()
    with raw_server(play) as port:
        run(
            reactor, handler, f"ws://127.0.0.1:{port}/", max_message=100_000,
            compression=Deflate(server_no_context_takeover=True),
        )  # fmt: skip
    assert handler.messages == [b"fine"]
    assert handler.error.name == name


# ---- the end ----


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_our_close_code_and_reason_arrive(reactor: Reactor, trust: rig.Trust, tls: bool) -> None:
    ends: list[tuple[int | None, str | None]] = []

    def play(connection: ServerConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            connection.recv()
        ends.append((connection.close_code, connection.close_reason))

    handler = Recorder(on_open=lambda connection: connection.close(4321, "that was é"))
    options: dict[str, Any] = {"tls": TLSContext(ca_file=trust.ca_file)} if tls else {}
    with websockets_server(play, ssl=trust.context if tls else None) as port:
        run(reactor, handler, f"{'wss' if tls else 'ws'}://localhost:{port}/", **options)
    assert ends == [(4321, "that was é")]
    assert handler.error is None
    assert handler.kinds == ["open", "close"]


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (struct.pack(">H", 1000) + b"done", 1000, "done"),
        (struct.pack(">H", 4999), 4999, ""),
        (b"", 1005, ""),
    ],
)
def test_the_peers_close_code_and_reason_are_told(reactor: Reactor, payload: bytes, code: int, reason: str) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.send(1, b"last words")
        peer.send(8, payload)
        assert peer.read_frame() == (8, payload[:2])

    handler = Recorder()
    with raw_server(play) as port:
        connection = run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.kinds == ["open", "message", "close"]
    error = handler.error
    assert isinstance(error, ConnectionClosed)
    assert (error.close_code, error.reason, error.name) == (code, reason, "HFT_E_CONN_CLOSED")
    with pytest.raises(ConnectionClosed) as again:
        connection.send("too late")
    assert (again.value.close_code, again.value.reason) == (code, reason)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_connection_that_is_cut(reactor: Reactor, trust: rig.Trust, tls: bool) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.send(2, b"last words")
        if tls:  # the socket below ends without close_notify
            os.close(os.dup(peer.sock.fileno()))
            socket.socket(fileno=os.dup(peer.sock.fileno())).shutdown(socket.SHUT_RDWR)

    handler = Recorder()
    options: dict[str, Any] = {"tls": TLSContext(ca_file=trust.ca_file)} if tls else {}
    with raw_server(play, context=trust.context if tls else None) as port:
        run(reactor, handler, f"{'wss' if tls else 'ws'}://localhost:{port}/", **options)
    assert handler.kinds == ["open", "message", "close"]
    assert isinstance(handler.error, ConnectionClosed)
    assert handler.error.close_code == 1006
    assert handler.error.name == ("HFT_E_TLS_TRUNCATED" if tls else "HFT_E_CONN_CLOSED")


def test_what_came_before_a_broken_rule_is_told_first(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.sock.sendall(b"\x81\x01a\x81\x01b" + b"\x83\x00" + b"\x81\x01c")
        assert peer.read_frame() == (8, struct.pack(">H", 1002))
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.read_to_end() == b""

    handler = Recorder()
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.messages == ["a", "b"]
    assert isinstance(handler.error, RemoteProtocolError)
    assert handler.error.name == "HFT_E_WS_OPCODE"


@pytest.mark.parametrize("by_us", [True, False])
def test_a_peer_that_does_not_end_is_left_in_time(reactor: Reactor, by_us: bool) -> None:
    over = threading.Event()

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        if not by_us:
            peer.send(8, struct.pack(">H", 1001))
        peer.read_frame()
        assert over.wait(10)

    handler = Recorder(on_open=lambda connection: connection.close() if by_us else None)
    with raw_server(play) as port:
        start = time.monotonic()
        run(reactor, handler, f"ws://127.0.0.1:{port}/", close_timeout_s=0.2)
        took = time.monotonic() - start
        over.set()
    assert 0.2 <= took < 2
    assert isinstance(handler.error, ConnectionClosed)
    assert (handler.error.name, handler.error.close_code) == (
        ("HFT_E_TIMEOUT", 1006) if by_us else ("HFT_E_CONN_CLOSED", 1001)
    )


@pytest.mark.parametrize("by_us", [True, False])
def test_a_server_that_awaits_our_close_notify_has_it(reactor: Reactor, trust: rig.Trust, by_us: bool) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        if by_us:
            peer.read_frame()
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # close frame and close_notify come as one
        peer.send(8, struct.pack(">H", 1000))
        with contextlib.suppress(ssl.SSLError):  # our close frame stands before it
            peer.sock.unwrap()  # type: ignore[attr-defined]
        peer.read_to_end()

    handler = Recorder(on_open=lambda connection: connection.close() if by_us else None)
    with raw_server(play, context=trust.context) as port:
        start = time.monotonic()
        url = f"wss://localhost:{port}/"
        run(reactor, handler, url, close_timeout_s=5, tls=TLSContext(ca_file=trust.ca_file))
        took = time.monotonic() - start
    assert took < 3
    assert handler.error is None if by_us else handler.error.close_code == 1000


def test_abort_cuts_at_once(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        assert peer.read_to_end() == b""

    handler = Recorder(on_open=lambda connection: connection.abort())
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.kinds == ["open", "close"]
    assert handler.error.name == "HFT_E_CONN_STOPPED"


def test_close_takes_lawful_codes_only(reactor: Reactor) -> None:
    def close(connection: Connection) -> None:
        for code in (1004, 1006, 999, 2000, 5000):
            with pytest.raises(LocalProtocolError):
                connection.close(code)
        with pytest.raises(ConfigError):
            connection.close(70000)
        with pytest.raises(LocalProtocolError):
            connection.close(1000, "x" * 124)
        connection.close(3000, "x" * 123)
        connection.close()

    handler = Recorder(on_open=close)
    with websockets_server() as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.error is None


def test_nothing_can_be_sent_while_closing(reactor: Reactor) -> None:
    def close(connection: Connection) -> None:
        connection.close()
        with pytest.raises(ConnectionClosed):
            connection.send("too late")

    handler = Recorder(on_open=close)
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        with pytest.raises(HftError, match="not open yet"):
            connection.send("too early")
        run_until(reactor, lambda: not reactor.connections)
    assert handler.error is None


# ---- the upgrade ----


def test_a_refused_upgrade_is_told_with_its_response(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.read_request()
        response = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 11\r\n\r\nnot now"
        for piece in (response[:28], response[28:55], response[55:]):
            peer.sock.sendall(piece)
            time.sleep(0.02)
        peer.sock.sendall(b", sorry")
        peer.read_to_end()  # it hangs up by itself: all of the response is there

    handler = Recorder()
    with raw_server(play) as port:
        start = time.monotonic()
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
        assert time.monotonic() - start < 1
    error = handler.error
    assert isinstance(error, HandshakeError)
    assert (error.status, error.body) == (503, b"not now, so")
    assert error.headers == (("Retry-After", "7"), ("Content-Length", "11"))
    assert handler.kinds == ["close"]


def test_the_request_says_what_was_asked_for(reactor: Reactor) -> None:
    heads: list[bytes] = []

    def play(peer: RawPeer) -> None:
        peer.upgrade(extra=b"Sec-WebSocket-Protocol: two\r\nX-Server: 1\r\n")
        heads.append(peer.head)
        peer.read_frame()

    facts: list[Any] = []

    def look(connection: Connection) -> None:
        facts.append((connection.subprotocol, dict(connection.response_headers)["X-Server"], connection.extensions))
        connection.close()

    with raw_server(play) as port:
        run(
            reactor, Recorder(on_open=look), f"ws://127.0.0.1:{port}/p?q=1", headers={"X-Client": "2"},
            subprotocols=["one", "two"], compression=Deflate(),
        )  # fmt: skip
    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "GET /p?q=1 HTTP/1.1"
    assert {"X-Client: 2", "Sec-WebSocket-Protocol: one, two", f"Host: 127.0.0.1:{port}"} <= set(lines)
    assert any(line.startswith("Sec-WebSocket-Extensions: permessage-deflate") for line in lines)
    assert facts == [("two", "1", None)]


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_a_mute_server_is_left_in_time(reactor: Reactor, trust: rig.Trust, tls: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        handler = Recorder()
        start = time.monotonic()
        port = listener.getsockname()[1]
        run(reactor, handler, f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/", connect_timeout_s=0.5)
        assert 0.5 <= time.monotonic() - start < 4
    assert isinstance(handler.error, ConnectionLost)
    assert handler.error.name == "HFT_E_CONN_HANDSHAKE_TIMEOUT"


def test_an_unknown_authority_is_refused(reactor: Reactor, trust: rig.Trust) -> None:
    handler = Recorder()
    with websockets_server(ssl=trust.context) as port:
        run(reactor, handler, f"wss://localhost:{port}/")
    assert isinstance(handler.error, TLSError)
    assert handler.kinds == ["close"]


@pytest.mark.parametrize("redirects", [0, 1])
def test_redirects_are_followed_only_if_asked(reactor: Reactor, redirects: int) -> None:
    with websockets_server() as port:

        def play(peer: RawPeer) -> None:
            peer.read_request()
            answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/there\r\nContent-Length: 0\r\n\r\n"
            peer.sock.sendall(answer.encode())

        handler = Recorder(on_open=lambda connection: connection.close())
        with raw_server(play) as first:
            connection = run(reactor, handler, f"ws://127.0.0.1:{first}/", max_redirects=redirects)
    if redirects:
        assert handler.error is None
        assert connection.url == f"ws://127.0.0.1:{port}/there"
    else:
        assert isinstance(handler.error, HandshakeError)
        assert handler.error.status == 302


def test_where_nobody_listens(reactor: Reactor, closed_port: int) -> None:
    handler = Recorder()
    run(reactor, handler, f"ws://127.0.0.1:{closed_port}/")
    assert isinstance(handler.error, ConnectionRefusedError)


def test_a_given_socket_is_used(reactor: Reactor) -> None:
    handler = Echoer(["over it"])
    with websockets_server() as port:
        sock = socket.create_connection(("127.0.0.1", port))
        own = sock.getsockname()
        connection = reactor.add(sock, f"ws://127.0.0.1:{port}/", handler, **QUIET)
        assert sock.fileno() == -1
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == ["over it"]
    assert connection.local_address == own
