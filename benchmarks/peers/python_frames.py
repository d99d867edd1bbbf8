"""WebSocket frames built and parsed by picows and aiohttp, without a socket: their transports keep what is written."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import socket
from collections import deque
from typing import Any

from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter
from picows import picows

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Wire:
    """An asyncio transport as far as picows and aiohttp need one: `written` has what was written last."""

    def __init__(self) -> None:
        self.written: deque[bytes] = deque(maxlen=1)
        self.write = self.written.append
        self.socket = socket.socket()

    def get_extra_info(self, name: str) -> object:
        """A socket; and TLS, because picows otherwise writes to the socket itself."""
        return {"socket": self.socket, "ssl_object": self, "peername": None, "sockname": None}.get(name)

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def is_closing(self) -> bool:
        """It stays open."""
        return False


class Listener(picows.WSListener):  # type: ignore[misc]
    """Keeps the payload of the last frame."""

    payload = b""

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Called by picows for each frame."""
        self.payload = frame.get_payload_as_bytes()


class Picows:
    """A client's connection of picows with the handshake done."""

    def __init__(self) -> None:
        self.wire, self.listener = Wire(), Listener()
        asyncio.run(self.connect())
        self.written, self.text = self.wire.written, picows.WSMsgType.TEXT

    async def connect(self) -> None:
        """Plays the server of the handshake."""
        quiet = logging.getLogger("picows.benchmark")
        quiet.setLevel(logging.ERROR)
        self.protocol = picows.WSProtocol(
            "localhost", "/", True, lambda *_: self.listener, quiet, False, None, False, None, None,
            picows.WSAutoPingStrategy.PING_WHEN_IDLE, True, 1 << 20, None, 16384,
        )  # fmt: skip
        self.protocol.connection_made(self.wire)
        (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", self.wire.written[0])
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        self.feed(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        self.send = self.protocol.transport.send

    def feed(self, data: bytes) -> None:
        """As an event loop does that has received the data."""
        self.protocol.get_buffer(-1)[: len(data)] = data
        self.protocol.buffer_updated(len(data))


class Aiohttp:
    """aiohttp's frame reader and writer, those of C where it has them; to both it is the protocol, too."""

    _paused = _reading_paused = False

    def __init__(self) -> None:
        asyncio.run(self.connect())

    async def connect(self) -> None:
        """They are made on a loop, but use none here."""
        wire: Any = Wire()
        protocol: Any = self
        queue = WebSocketDataQueue(protocol, 1 << 16, loop=asyncio.get_running_loop())
        self.feed = WebSocketReader(queue, 1 << 20, compress=False, decode_text=False).feed_data
        self.queue = queue
        self.written = wire.written
        self.writer = WebSocketWriter(protocol, wire, use_mask=True, limit=1 << 62)

    def parse(self, data: bytes) -> Any:
        """The payload of one frame."""
        self.feed(data)
        return finished(self.queue.read()).data

    def send(self, payload: bytes, opcode: int) -> None:
        """One frame."""
        finished(self.writer.send_frame(payload, opcode))


def finished(coroutine: Any) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")
