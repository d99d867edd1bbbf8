"""The servers: websockets, aiohttp, picows, and nginx with TLS in front of the first.

All play the same part. A message is echoed, but for a text message that is one of these:
    ?ping                the server pings, and sends the text "pong" once that is answered
    ?fragments N SIZE    the server sends pattern(SIZE) as a binary message of N fragments
    ?close CODE REASON   the server closes
Of subprotocols that are offered the server chooses SUBPROTOCOL. How connections ended is kept in `closed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

import picows
from aiohttp import WSMsgType, web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

SUBPROTOCOL = "v2.feed"
MESSAGE_MAX = 17 << 20
PING = b"from the server"


def pattern(size: int) -> bytes:
    """Bytes that repeat nowhere near a power of two, so that a piece put in a wrong place shows."""
    return (b"".join(b"%d," % i for i in range(min(size, 4001))) * (size // 4001 + 1))[:size]


class FarEnd:
    """A server on a thread with an asyncio loop of its own. closed: the codes that connections ended with."""

    compresses = True
    fragments = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.closed: list[tuple[int | None, str]] = []
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__)
        self._port = 0

    @property
    def url(self) -> str:
        return f"ws{'s' if self._context else ''}://localhost:{self._port}/"

    def __enter__(self) -> Self:
        for name in ("websockets", "picows", "aiohttp", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()
        self._port = self._run(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    async def start(self) -> int:
        """Listens on the loopback; returns the port."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError


class Websockets(FarEnd):
    """websockets, over asyncio."""

    _server: Server

    async def start(self) -> int:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, ssl=self._context, max_size=MESSAGE_MAX, ping_interval=None,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=lambda _, offered: SUBPROTOCOL if SUBPROTOCOL in offered else None,
        )  # fmt: skip
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        self._server.close(close_connections=True)
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                match str(message).split(" ") if message[:1] == "?" else []:
                    case ["?ping"]:
                        await (await connection.ping(PING))
                        await connection.send("pong")
                    case ["?fragments", number, size]:
                        data, length = pattern(int(size)), -(-int(size) // int(number))
                        await connection.send([data[i : i + length] for i in range(0, len(data), length)])
                    case ["?close", code, reason]:
                        await connection.close(int(code), reason)
                    case _:
                        await connection.send(message)
        self.closed.append((connection.close_code, connection.close_reason or ""))


class Aiohttp(FarEnd):
    """aiohttp's server; its messages are always of one frame."""

    fragments = False
    _runner: web.AppRunner

    async def start(self) -> int:
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=[SUBPROTOCOL], max_msg_size=MESSAGE_MAX, autoping=False)
        await ws.prepare(request)
        async for message in ws:
            match message.type:
                case WSMsgType.PING:
                    await ws.pong(message.data)
                case WSMsgType.PONG:
                    await ws.send_str("pong" if message.data == PING else "a wrong pong")
                case WSMsgType.BINARY:
                    await ws.send_bytes(message.data)
                case WSMsgType.TEXT:
                    await self._text(ws, message.data)
        self.closed.append((ws.close_code, ""))
        return ws

    async def _text(self, ws: web.WebSocketResponse, text: str) -> None:
        match text.split(" ") if text[:1] == "?" else []:
            case ["?ping"]:
                await ws.ping(PING)
            case ["?close", code, reason]:
                await ws.close(code=int(code), message=reason.encode())
            case _:
                await ws.send_str(text)


class _Listener(picows.WSListener):
    """picows' side of one connection. It hands over frames, so a message's fragments would be ours to join."""

    def __init__(self, closed: list[tuple[int | None, str]]) -> None:
        self.closed = closed

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        data = frame.get_payload_as_bytes()
        match frame.msg_type:
            case picows.WSMsgType.PONG:
                transport.send(picows.WSMsgType.TEXT, b"pong" if data == PING else b"a wrong pong")
            case picows.WSMsgType.CLOSE:
                self.closed.append((int(frame.get_close_code()) or None, (frame.get_close_message() or b"").decode()))
                if not transport.is_close_frame_sent:
                    transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()
            case picows.WSMsgType.TEXT if data[:1] == b"?":
                self._command(transport, data.decode().split(" "))
            case picows.WSMsgType.TEXT | picows.WSMsgType.BINARY:
                transport.send(frame.msg_type, data)

    def _command(self, transport: picows.WSTransport, words: list[str]) -> None:
        match words:
            case ["?ping"]:
                transport.send_ping(PING)
            case ["?fragments", number, size]:
                data, length = pattern(int(size)), -(-int(size) // int(number))
                for i in range(0, len(data), length):
                    kind = picows.WSMsgType.CONTINUATION if i else picows.WSMsgType.BINARY
                    transport.send(kind, data[i : i + length], fin=i + length >= len(data))
            case ["?close", code, reason]:
                transport.send_close(int(code), reason.encode())  # type: ignore[arg-type]


class Picows(FarEnd):
    """picows' server; it knows no compression."""

    compresses = False
    _server: asyncio.Server

    async def start(self) -> int:
        self._server = await picows.ws_create_server(
            self._accept, "127.0.0.1", 0, ssl=self._context, max_frame_size=MESSAGE_MAX
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _accept(self, request: picows.WSUpgradeRequest) -> picows.WSUpgradeResponseWithListener:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        chosen = {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in offered else {}
        response = picows.WSUpgradeResponse.create_101_response(chosen)
        return picows.WSUpgradeResponseWithListener(response, _Listener(self.closed))


NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {directory}/server.pem;
        ssl_certificate_key {directory}/server.pem;
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host $host;
        }}
    }}
}}
"""


class Nginx(Websockets):
    """nginx, which speaks TLS with the client, before websockets, which does not."""

    def __init__(self, pem: bytes) -> None:
        super().__init__(None)
        self._pem = pem
        self._files = tempfile.TemporaryDirectory(prefix="hft-nginx-")
        self._process: subprocess.Popen[bytes]

    @staticmethod
    def program() -> str | None:
        """Where nginx is; Debian's is in a directory of the administrator's."""
        return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

    @property
    def url(self) -> str:
        return f"wss://localhost:{self._port}/"

    async def start(self) -> int:
        directory = Path(self._files.name)
        (directory / "server.pem").write_bytes(self._pem)
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = int(sock.getsockname()[1])
        configuration = directory / "nginx.conf"
        configuration.write_text(NGINX.format(directory=directory, port=port, target=await super().start()))
        self._process = subprocess.Popen(
            [str(self.program()), "-p", str(directory), "-c", str(configuration)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return port
            await asyncio.sleep(0.05)
        raise RuntimeError((directory / "error.log").read_text())

    async def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        await super().stop()
        self._files.cleanup()
