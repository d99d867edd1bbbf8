"""What the tests of the asyncio face share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvloop

from hftcore import aio
from hftcore.ws import accept_key
from tests.integration.ws_server import WAIT_S

FOREVER = float("inf")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Connect = Callable[..., aio.connect]


def open_sockets() -> set[str]:
    """Sockets and rings of this process."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{entry}"))
        except OSError:
            continue
    return {target for target in found if target.startswith(("socket:", "anon_inode:[io_uring]"))}


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def echo_all(ws: aio.ClientConnection) -> None:
    async for message in ws:
        await ws.send(message)


@contextlib.contextmanager
def raw_server(behaviour: Callable[[socket.socket], None]) -> Iterator[str]:
    """Takes one connection through the upgrade, and leaves the rest to the test; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as sock:
                key = sock.recv(4096).decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
                sock.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
                )
                behaviour(sock)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(WAIT_S)


async def take_all(ws: aio.ClientConnection, messages: list[str | bytes]) -> None:
    async for message in ws:
        messages.append(message)
