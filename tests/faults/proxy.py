"""The other end: an echo server by `websockets`, and between it and the client a proxy that does what plans say.

Both live in one thread of their own, on one asyncio loop. Each session has its own listening socket, so that there is
no doubt which plan a connection is to follow.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.faults.plan import PIECES_MAX, SERVER_PINGS_S, Plan, Way

READ_MAX = 65536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


async def _echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


class _OverError(Exception):
    """The connection has ended as planned, or one side was reset."""


class Link:
    """One session's listening socket and, once the client is there, its two connections.

    How it may end, after end_at bytes of one direction: "reset": RST to both sides. "close": both are closed. "half":
    the receiver is told that nothing more comes, and nothing does; the other direction goes on. "stall": nothing is
    read any more, for good.
    """

    def __init__(self, plan: Plan, target: int) -> None:
        self.plan = plan
        self.reached = plan.kind == "slow"  # whether the fault was come to
        self.story: list[str] = []  # what happened to the connections, for whoever has to find out why
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def open(self) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Ends what is left."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        self._end(0)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        task = asyncio.ensure_future(self._between(reader, writer))
        self._tasks.add(task)

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.append(far_writer)
        for each in self._writers:
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rng = random.Random(self.plan.seed)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(self.plan.up, reader, far_writer, rng))
                group.create_task(self._forward(self.plan.down, far_reader, writer, rng))
        except* _OverError as errors:
            self.story += map(str, errors.exceptions)
        for each in self._writers:
            each.close()

    def _end(self, linger: int) -> None:
        for writer in self._writers:
            if linger and (sock := writer.get_extra_info("socket")) is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _forward(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random
    ) -> None:
        at = 0
        try:
            for_pieces = _Pieces(way, rng)
            while data := await reader.read(READ_MAX):
                for piece, pause_s in for_pieces.cut(data, at):
                    if pause_s:
                        await asyncio.sleep(pause_s)
                    at += len(piece)
                    if any(at - len(piece) <= offset < at for offset in way.flip):
                        self.reached = True
                    writer.write(piece)
                    if way.end and at == way.end_at:
                        break
                    await writer.drain()
                if way.end and at == way.end_at:
                    self.reached = True
                    await self._finish(way.end, reader, writer)
                    return
            self.story.append(f"{'up' if way is self.plan.up else 'down'}: end after {at} bytes")
            writer.write_eof()
        except OSError as error:  # one side was reset: so is the other
            self._end(1)
            raise _OverError(f"{'up' if way is self.plan.up else 'down'}: {error!r} after {at} bytes") from error

    async def _finish(self, how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "reset":
            self._end(1)
        if how in {"reset", "close"}:
            raise _OverError("as planned")
        if how == "half":
            writer.write_eof()
            while await reader.read(READ_MAX):
                pass
        else:
            await asyncio.get_running_loop().create_future()


class _Pieces:
    """Cuts one direction's bytes as its way says."""

    def __init__(self, way: Way, rng: random.Random) -> None:
        self.way = way
        self.rng = rng
        self.count = 0

    def cut(self, data: bytes, at: int) -> Iterator[tuple[bytes, float]]:
        """Pieces of data, which starts at this offset, each with how long to wait before it."""
        way = self.way
        rest = bytearray(data)
        for offset, mask in way.flip.items():
            if at <= offset < at + len(rest):
                rest[offset - at] ^= mask
        while rest:
            length, wait_s = len(rest), 0.0
            if self.count < PIECES_MAX:
                length = self.rng.randint(1, way.piece_max) if way.piece_max else length
                wait_s = self.rng.uniform(0, way.delay_s)
            self.count += 1
            for stop in (way.end_at if way.end else 0, way.pause[0] if way.pause else 0):
                if at < stop < at + length:
                    length = stop - at
            if way.pause and at == way.pause[0]:
                wait_s += way.pause[1]
            piece = bytes(rest[:length])
            del rest[:length]
            at += len(piece)
            yield piece, wait_s


class _Log(logging.Handler):
    """Keeps what servers and the loop say of broken connections: it is expected here, and plenty."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[tuple[float, str]] = deque(maxlen=200)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.kept.append((time.monotonic(), f"{record.name}: {record.getMessage()} {error!r}"))


class FarSide:
    """The thread with the servers and the proxies. A context manager."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._log = _Log()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="far side")
        self._links: set[Link] = set()
        self._servers: dict[tuple[bool, float | None], Any] = {}

    def __enter__(self) -> FarSide:
        for name in ("websockets", "asyncio"):
            logging.getLogger(name).addHandler(self._log)
            logging.getLogger(name).propagate = False
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _start(self) -> None:
        for secure, ping_s in itertools.product((False, True), SERVER_PINGS_S):
            self._servers[secure, ping_s] = await serve(
                _echo, "127.0.0.1", 0, ssl=self._context if secure else None, max_size=None, ping_interval=ping_s,
                ping_timeout=None, close_timeout=0.5, open_timeout=None,
            )  # fmt: skip

    async def _stop(self) -> None:
        for link in self._links.copy():  # a client that failed has left some
            await link.close()
        for server in self._servers.values():
            server.close(close_connections=True)
            await server.wait_closed()

    async def _open(self, plan: Plan) -> tuple[Link, int]:
        server = self._servers[plan.secure, plan.server_ping_s]
        link = Link(plan, server.sockets[0].getsockname()[1])
        return link, await link.open()

    def open(self, plan: Plan) -> tuple[Link, str]:
        """A proxy for one connection that does as planned, and the URL to connect to; close() ends it.

        Both from any thread but the far side's own.
        """
        link, port = self._run(self._open(plan))
        self._links.add(link)
        return link, f"ws{'s' if plan.secure else ''}://127.0.0.1:{port}/"

    def said(self, since: float) -> list[str]:
        """What the servers logged since then, of all sessions, the latest of it."""
        return [text for when, text in list(self._log.kept) if when >= since][-10:]

    def close(self, link: Link) -> None:
        self._run(link.close())
        self._links.discard(link)
