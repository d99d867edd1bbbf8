"""A server of bare sockets, for what no WebSocket library will send."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def server(talk: Talk) -> Iterator[str]:
    """Upgrades one connection and lets `talk` do the rest, which is to end with the event; the URL."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener.accept()[0] as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += sock.recv(4096)
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", request, re.I)
            assert key
            digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                talk(sock, over)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    over.set()
    listener.close()
    thread.join()
