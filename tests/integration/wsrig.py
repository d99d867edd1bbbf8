"""Servers for the WebSocket client's tests: `websockets`, and a raw one that says what a test wants said."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from websockets.sync.server import Server, ServerConnection, serve

from hftcore import ws
from hftcore.reactor import Connection, Handler, Message, Reactor

WAIT_S = 10.0
QUIET: dict[str, Any] = {"ping_interval_s": 0, "close_timeout_s": 2}


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextlib.contextmanager
def websockets_server(handler: Callable[[ServerConnection], None] = echo, **options: Any) -> Iterator[int]:
    """A server of `websockets` on a thread of its own; gives its port."""
    server: Server = serve(handler, "127.0.0.1", 0, **{"max_size": None, "compression": None, **options})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join()


class RawPeer:
    """One accepted connection of a raw server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""

    def read_request(self) -> bytes:
        while b"\r\n\r\n" not in self.head:
            piece = self.sock.recv(4096)
            if not piece:
                raise ConnectionError("no request")
            self.head += piece
        return self.head

    def upgrade(self, *, extra: bytes = b"") -> None:
        key = next(line[19:] for line in self.read_request().split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + ws.accept_key(key.decode()).encode() + b"\r\n" + extra + b"\r\n"
        )

    def send(self, op: int, payload: bytes = b"") -> None:
        self.sock.sendall(ws.build_frame(op, payload, mask=None))

    def read_exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError(f"{len(data)} of {n} bytes")
            data += piece
        return data

    def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame, which must be masked (RFC 6455 section 5.3)."""
        first, second = self.read_exactly(2)
        assert second & 0x80
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.read_exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.read_exactly(8))
        mask = self.read_exactly(4)
        payload = self.read_exactly(length)
        return first & 0x0F, ws.apply_mask(payload, mask)

    def read_to_end(self) -> bytes:
        data = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := self.sock.recv(65536):
                data += piece
        return data


@contextlib.contextmanager
def raw_server(*scripts: Callable[[RawPeer], object], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Plays one script after the other, each to the next connection; gives the port. What a script raises, the test
    does."""
    problems: list[BaseException] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT_S)

    def play() -> None:
        try:
            for script in scripts:
                sock, _ = listener.accept()
                with contextlib.ExitStack() as stack:
                    stack.enter_context(sock)
                    sock.settimeout(WAIT_S)
                    if context is not None:
                        sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
                    script(RawPeer(sock))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield listener.getsockname()[1]
        thread.join(WAIT_S)
        assert not thread.is_alive(), "the server's script does not end"
        if problems:
            raise problems[0]
    finally:
        listener.close()
        thread.join(WAIT_S)


class Recorder(Handler):
    """Notes what it is told, in order: ("open",), ("message", data), ("close", error) ..."""

    def __init__(self, *, on_open: Callable[[Connection], object] = lambda _: None) -> None:
        self.log: list[tuple[Any, ...]] = []
        self._on_open = on_open

    def on_open(self, connection: Connection) -> None:
        self.log.append(("open",))
        self._on_open(connection)

    def on_message(self, connection: Connection, message: Message) -> None:
        self.log.append(("message", message.text if message.is_text else message.data))

    def on_pong(self, connection: Connection, rtt_ns: int, is_app: bool) -> None:
        self.log.append(("pong", rtt_ns, is_app))

    def on_writable(self, connection: Connection) -> None:
        self.log.append(("writable",))

    def on_lost(self, connection: Connection, error: Exception | None) -> None:
        self.log.append(("lost", error))

    def on_close(self, connection: Connection, error: Exception | None) -> None:
        self.log.append(("close", error))

    @property
    def kinds(self) -> list[str]:
        return [entry[0] for entry in self.log]

    @property
    def messages(self) -> list[str | bytes]:
        return [entry[1] for entry in self.log if entry[0] == "message"]

    @property
    def error(self) -> Any:
        """What on_close was told, which was called once, last."""
        assert self.kinds.count("close") == 1
        assert self.kinds[-1] == "close"
        return self.log[-1][1]


def run_until(reactor: Reactor, done: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        reactor.poll(0.05)


def run(reactor: Reactor, handler: Recorder, url: str, **options: Any) -> Connection:
    """One connection to its end."""
    connection = reactor.connect(url, handler, **{**QUIET, **options})
    reactor.call_later(20.0, reactor.stop)
    run_until(reactor, lambda: not reactor.connections, 20.0)
    return connection


class Echoer(Recorder):
    """Sends one message after the other, each when the one before has come back; then closes."""

    def __init__(self, messages: list[str | bytes]) -> None:
        super().__init__()
        self.left = list(messages)
        self.sent: list[str | bytes] = []

    def on_open(self, connection: Connection) -> None:
        super().on_open(connection)
        self.go_on(connection)

    def on_message(self, connection: Connection, message: Message) -> None:
        super().on_message(connection, message)
        self.go_on(connection)

    def go_on(self, connection: Connection) -> None:
        if not self.left:
            connection.close()
            return
        self.sent.append(self.left.pop(0))
        connection.send(self.sent[-1])
