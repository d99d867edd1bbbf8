"""WebSocket connections for asyncio, on any event loop.

    async with connect("wss://stream.binance.com/ws/btcusdt@bookTicker") as ws:
        async for message in ws:
            print(message)

An event loop's connections share one reactor, whose descriptor the loop watches. ``spin_us`` makes the coroutine that
waits for a message poll the network itself, for so many microseconds before it sleeps: the wake-up it saves is worth
more than all the rest of the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, Literal, Unpack

from hftcore._aio import ClientConnection
from hftcore._connector import closed_on_error, open_first
from hftcore._request import AppPing, Deflate, Options, Request, check_reactor
from hftcore.errors import HandshakeError, HftError
from hftcore.reconnect import Attempt, Reconnect, Schedule

__all__ = ["AppPing", "ClientConnection", "Deflate", "Reconnect", "connect"]


class connect:  # noqa: N801  a function for its users
    """A connection: ``await connect(url)``, ``async with connect(url) as ws``, ``async for ws in connect(url)``.

    url: ``wss://HOST[:PORT]/PATH``, ``ws``, ``ws+unix``, ``wss+unix``; with ``reconnect`` also several. spin_us: how
    long a coroutine that waits for a message polls before it sleeps; ``float("inf")``: it only polls, and takes a core.
    backend: "io_uring", "epoll", or "auto". options: see ``hftcore._request.Request``.

    With ``reconnect`` attempts go on as it says; ``async for`` makes a new connection each time the one before has
    ended, until the body breaks out of the loop. Raises ConfigError at once; awaited, OSError, ConnectionLost, TLSError
    or HandshakeError.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        spin_us: float = 0.0,
        backend: Literal["auto", "io_uring", "epoll"] = "auto",
        **options: Unpack[Options],
    ) -> None:
        self._request = Request.parse(url, **options)
        self._backend = backend
        self._spin_us = check_reactor(backend, spin_us)
        self._ws: ClientConnection | None = None

    def __await__(self) -> Generator[Any, Any, ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        self._ws = await self._connect()
        return self._ws

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._ws is not None
        await self._ws.close()

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Connections, one after the other; each is closed when the loop's body is done with it."""
        policy = self._request.reconnect or Reconnect()
        schedule = Schedule(policy, len(self._request.endpoints))
        ws = await self._attempts(schedule, schedule.begin())
        while True:
            successor = _Successor(self, schedule, policy, ws)
            try:
                yield ws
            except BaseException:
                await successor.end(keep=False)
                raise
            finally:
                try:
                    await ws.close()
                except BaseException:  # cancelled
                    await successor.end(keep=False)
                    raise
            following = await successor.end(keep=True)
            if following is None:
                attempt = successor.attempt or schedule.lost(ws.error, time.monotonic())
                if attempt is None:
                    if ws.error is not None:
                        raise ws.error
                    return
                following = await self._attempts(schedule, attempt)
            ws = following

    # ---- attempts ----

    async def _connect(self) -> ClientConnection:
        if self._request.reconnect is None:
            return (await self._open((0,)))[1]
        schedule = Schedule(self._request.reconnect, len(self._request.endpoints))
        return await self._attempts(schedule, schedule.begin())

    async def _attempts(self, schedule: Schedule, attempt: Attempt) -> ClientConnection:
        while True:
            await asyncio.sleep(attempt.delay_s)
            try:
                number, ws = await self._open(attempt.endpoints)
            except (HftError, OSError) as error:
                following = schedule.failed(error)
                if following is None:
                    raise
                attempt = following
            else:
                schedule.opened(number, time.monotonic())
                return ws

    async def _open(self, endpoints: tuple[int, ...]) -> tuple[int, ClientConnection]:
        """One attempt: a socket, TLS, the upgrade, and as many redirects as are followed."""
        request, deadline_s, first = self._request, time.monotonic() + self._request.connect_timeout_s, -1
        while True:
            number, sock = await open_first(request, endpoints, timeout_s=deadline_s - time.monotonic())
            first = number if first < 0 else first
            endpoint = request.endpoints[number]
            with closed_on_error(sock):
                ws = ClientConnection(request, self._backend, self._spin_us)
                ws._attach(sock, endpoint, deadline_s - time.monotonic())
            try:
                await ws._opened()
            except HandshakeError as error:
                following = request.redirected_by(endpoint, error)
                if following is None:
                    raise
                request, endpoints = following, (0,)
            else:
                return first, ws


class _Successor:
    """Waits until a connection is too old, opens the one that replaces it, and then ends the old one."""

    def __init__(self, connector: connect, schedule: Schedule, policy: Reconnect, ws: ClientConnection) -> None:
        self.attempt: Attempt | None = None  # what opens it, if the two may not overlap
        self._following: ClientConnection | None = None
        self._task = asyncio.create_task(self._run(connector, schedule, policy, ws))

    async def _run(self, connector: connect, schedule: Schedule, policy: Reconnect, ws: ClientConnection) -> None:
        at_s = schedule.replace_at_s
        if at_s is None:
            return
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        if policy.overlap_s is None:
            self.attempt = schedule.begin()
        else:
            self._following = await connector._attempts(schedule, schedule.begin())
        await ws.close()

    async def end(self, *, keep: bool) -> ClientConnection | None:
        """The successor, if it is open."""
        self._task.cancel()
        try:
            await asyncio.gather(self._task, return_exceptions=True)
        except BaseException:
            keep = False
            raise
        finally:
            if self._following is not None and not keep:
                self._following.abort()
        return self._following if keep else None
