"""The three faces under one: each sends, waits for a message, pings, closes, in plain calls that a test can make."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Protocol

from hftcore import aio, blocking
from hftcore.errors import HftError
from hftcore.reactor import Connection, Handler, Message, Reactor

WAIT_S = 20.0


class Client(Protocol):
    """A connection that is open. recv, and echo once there is no more, raise what the face does at the end."""

    def __init__(self, url: str, backend: str, **options: Any) -> None: ...
    def send(self, message: str | bytes) -> None: ...
    def recv(self) -> str | bytes: ...
    def echo(self) -> None: ...
    def ping(self) -> float: ...
    def close(self, code: int, reason: str) -> None: ...
    @property
    def connection(self) -> Any: ...


class HandlerClient(Handler):
    """Face (a), its reactor turned by poll()."""

    def __init__(self, url: str, backend: str, **options: Any) -> None:
        self.reactor = Reactor(backend=backend)
        self.opened = self.ended = self.echoes = False
        self.error: HftError | None = None
        self.messages: deque[str | bytes] = deque()
        self.round_trips: deque[int] = deque()
        self.connection = self.reactor.connect(url, self, **options)
        self._until("opened")

    def _until(self, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not getattr(self, what):
            if self.ended:
                raise self.error or AssertionError("ended without an error")
            assert time.monotonic() < deadline, f"{what}: nothing for {WAIT_S} s"
            self.reactor.poll(0.5)

    def on_open(self, _connection: Connection) -> None:
        self.opened = True

    def on_message(self, connection: Connection, message: Message) -> None:
        self.messages.append(message.text if message.is_text else message.data)
        if self.echoes:
            connection.send(self.messages.popleft())

    def on_pong(self, _connection: Connection, rtt_ns: int, _is_app: bool) -> None:
        self.round_trips.append(rtt_ns)

    def on_close(self, _connection: Connection, error: HftError | None) -> None:
        self.ended, self.error = True, error

    def send(self, message: str | bytes) -> None:
        self.connection.send(message)

    def recv(self) -> str | bytes:
        self._until("messages")
        return self.messages.popleft()

    def echo(self) -> None:
        self.echoes = True
        self._until("ended")
        raise self.error or AssertionError("ended without an error")

    def ping(self) -> float:
        self.connection.ping()
        self._until("round_trips")
        return self.round_trips.popleft() / 1e9

    def close(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)
        self._until("ended")
        if self.error:
            raise self.error


class AsyncioClient:
    """Face (b), on a loop that runs while a call is made."""

    def __init__(self, url: str, backend: str, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.context = aio.connect(url, backend=backend, **options)
        self.connection = self._run(self.context.__aenter__())

    def _run(self, what: Any) -> Any:
        async def limited() -> Any:
            return await asyncio.wait_for(what, WAIT_S)

        return self.runner.run(limited())

    def send(self, message: str | bytes) -> None:
        self._run(self.connection.send(message))

    def recv(self) -> str | bytes:
        message: str | bytes = self._run(self.connection.recv())
        return message

    def echo(self) -> None:
        async def run() -> None:
            while True:
                await self.connection.send(await self.connection.recv())

        self._run(run())

    def ping(self) -> float:
        return float(self._run(self.connection.ping()))

    def close(self, code: int, reason: str) -> None:
        self._run(self.connection.close(code, reason))
        self.runner.close()


class BlockingClient:
    """Face (c)."""

    def __init__(self, url: str, backend: str, **options: Any) -> None:
        self.connection = blocking.connect(url, backend=backend, **options)

    def send(self, message: str | bytes) -> None:
        self.connection.send(message)

    def recv(self) -> str | bytes:
        return self.connection.recv(timeout_s=WAIT_S)

    def echo(self) -> None:
        while True:
            self.connection.send(self.recv())

    def ping(self) -> float:
        return float(self.connection.ping())

    def close(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)


CLIENTS: dict[str, type[Client]] = {"handler": HandlerClient, "asyncio": AsyncioClient, "blocking": BlockingClient}
