"""A WebSocket server that we did not write, `websockets`, on a thread of its own; the path says what it does."""

from __future__ import annotations

import asyncio
import contextlib
import http
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve, unix_serve
from websockets.http11 import Request, Response

WAIT_S = 20.0
Behaviour = Callable[["WebSocketServer", ServerConnection, dict[str, str]], Coroutine[Any, Any, None]]


async def echo(_server: WebSocketServer, ws: ServerConnection, _options: dict[str, str]) -> None:
    async for message in ws:
        await ws.send(message)


async def count(_server: WebSocketServer, ws: ServerConnection, options: dict[str, str]) -> None:
    """Sends numbers, each followed by so many bytes, then closes in good order."""
    for number in range(int(options["to"])):
        await ws.send(f"{number} " + "x" * int(options.get("size", "0")))
        if options.get("pause_s"):
            await asyncio.sleep(float(options["pause_s"]))


async def close(_server: WebSocketServer, ws: ServerConnection, options: dict[str, str]) -> None:
    await ws.send("last")
    await ws.close(int(options["code"]), options.get("reason", ""))


async def cut(_server: WebSocketServer, ws: ServerConnection, _options: dict[str, str]) -> None:
    await ws.send("last")
    await asyncio.sleep(0.01)
    ws.transport.abort()


async def hold(server: WebSocketServer, ws: ServerConnection, _options: dict[str, str]) -> None:
    """Reads nothing until the test lets it, then tells what came: the length and the first byte of each message."""
    ws.transport.pause_reading()
    server.events.append("held")
    await server.gate.wait()
    ws.transport.resume_reading()
    async for message in ws:
        server.received.append((len(message), message[:1]))


async def told(server: WebSocketServer, ws: ServerConnection, _options: dict[str, str]) -> None:
    """Sends what the test says, and pings."""
    server.sessions.append(ws)
    await ws.wait_closed()


BEHAVIOURS: dict[str, Behaviour] = {
    "echo": echo, "count": count, "close": close, "cut": cut, "hold": hold, "told": told,
}  # fmt: skip


class WebSocketServer:
    """Listens on a port of 127.0.0.1, or on a Unix socket."""

    def __init__(self, path: Path | None = None, context: ssl.SSLContext | None = None, **settings: Any) -> None:
        self._path, self._context, self._settings = path, context, settings
        self.requests: list[Request] = []
        self.sessions: list[ServerConnection] = []
        self.received: list[tuple[int, str | bytes]] = []
        self.events: list[str] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate, self._end = asyncio.Event(), asyncio.Event()
        settings: dict[str, Any] = {
            "process_request": self._on_request, "max_size": None, "ssl": self._context, "ping_interval": None,
            "close_timeout": 1,
        } | self._settings  # fmt: skip
        server: Server
        if self._path is None:
            server = await serve(self._handle, "127.0.0.1", 0, **settings)
            self.port = next(iter(server.sockets)).getsockname()[1]
        else:
            server = await unix_serve(self._handle, str(self._path), **settings)
        self._ready.set()
        await self._end.wait()
        server.close()
        for connection in list(server.connections):
            connection.transport.abort()
        await server.wait_closed()

    def _on_request(self, ws: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        url = urlsplit(request.path)
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/refuse":
            return ws.respond(http.HTTPStatus(int(options["status"])), "go away\n")
        if url.path == "/redirect":
            response = ws.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = options["to"]
            return response
        return None

    async def _handle(self, ws: ServerConnection) -> None:
        url = urlsplit(ws.request.path if ws.request else "")
        self.events.append(f"open {url.path}")
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        try:
            with contextlib.suppress(Exception):
                await BEHAVIOURS[url.path.strip("/")](self, ws, options)
        finally:
            await ws.close()
            self.events.append(f"close {url.path}")

    def url(self, path: str) -> str:
        """Of a behaviour: "count?to=5"."""
        if self._path is not None:
            return f"ws+unix://{self._path}:/{path}"
        return (
            f"{'wss' if self._context else 'ws'}://{'localhost' if self._context else '127.0.0.1'}:{self.port}/{path}"
        )

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs it on the server's loop, and waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def wait_for(self, event: str) -> None:
        """Waits until it has happened: "open /hold", "held", "close /hold"."""
        until = time.monotonic() + WAIT_S
        while event not in self.events:
            assert time.monotonic() < until, self.events
            time.sleep(0.005)

    def open_gate(self) -> None:
        """Lets those that hold read."""
        self.loop.call_soon_threadsafe(self.gate.set)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(WAIT_S)


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[WebSocketServer]:
    server = WebSocketServer(**settings)
    try:
        yield server
    finally:
        server.close()
