"""A program with a connection that forks: FACE BACKEND URL CA_FILE. Its child does all it can to disturb it.

The child opens a connection of its own in between, and ends as programs do, destructors and all; of the asyncio face by
os._exit, as multiprocessing's do, because ending a loop would disturb the parent's by itself.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from hftcore import aio, blocking
from hftcore.reactor import Connection, Handler, Message, Reactor
from hftcore.tls import TLSContext

MESSAGES = 20


def refused(calls: list[Callable[[], object]]) -> None:
    for number, call in enumerate(calls):
        said = "nothing"
        try:
            call()
        except RuntimeError as error:
            said = str(error)
        assert f"process {os.getppid()}; a fork cannot use it" in said, (number, said)


def check_new(url: str, options: dict[str, Any]) -> None:
    with blocking.connect(url, **options) as ws:
        ws.send("child's own")
        assert ws.recv(10.0) == "child's own"


def wait_for_child(pid: int) -> None:
    assert os.waitpid(pid, 0)[1] == 0


def run_blocking(url: str, options: dict[str, Any]) -> None:
    with blocking.connect(url, **options) as ws:
        ws.send("first")
        assert ws.recv(10.0) == "first"
        ws.send("waiting")
        time.sleep(0.05)
        if (pid := os.fork()) == 0:
            refused([lambda: ws.send("child"), ws.recv, ws.ping, ws.abort, lambda: next(iter(ws))])
            ws.stats()
            assert not ws.is_open
            check_new(url, options)
            sys.exit(0)
        wait_for_child(pid)
        assert ws.recv(10.0) == "waiting"
        for number in range(MESSAGES):
            ws.send(str(number))
            assert ws.recv(10.0) == str(number)
        assert ws.ping(10.0) > 0
    assert ws.close_code == 1000


async def run_aio(url: str, options: dict[str, Any]) -> None:
    async with aio.connect(url, **options) as ws:
        await ws.send("first")
        assert await ws.recv() == "first"
        await ws.send("waiting")
        time.sleep(0.05)
        if (pid := os.fork()) == 0:
            refused([lambda: ws.send("child"), lambda: ws.recv().send(None), ws.ping, ws.abort])
            ws.stats()
            assert not ws.is_open
            del ws
            gc.collect()
            check_new(url, options)
            os._exit(0)
        wait_for_child(pid)
        assert await ws.recv() == "waiting"
        for number in range(MESSAGES):
            await ws.send(str(number))
            assert await ws.recv() == str(number)
        assert await ws.ping() > 0
    assert ws.close_code == 1000


class Echoed(Handler):
    """Forks in a handler."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url, self.options = url, options
        self.messages: list[str] = []
        self.errors: list[Exception | None] = []

    def on_open(self, connection: Connection) -> None:
        connection.send("first")

    def on_message(self, connection: Connection, message: Message) -> None:
        if not self.messages:
            pid = os.fork()
            if pid == 0:
                reactor = connection.reactor
                refused([lambda: connection.send("child"), connection.ping, connection.close, connection.abort,
                         connection.pause, reactor.poll, lambda: reactor.call_later(0, print),
                         lambda: reactor.call_soon_threadsafe(print)])  # fmt: skip
                assert message.text == "first"
                connection.stats()
                reactor.stop()
                check_new(self.url, self.options)
                raise SystemExit(0)  # out of run(), through the end of the with block
            wait_for_child(pid)
        self.messages.append(message.text)
        if len(self.messages) <= MESSAGES:
            connection.send(str(len(self.messages)))
        else:
            connection.close()

    def on_close(self, connection: Connection, error: Exception | None) -> None:
        self.errors.append(error)


def run_reactor(url: str, options: dict[str, Any]) -> None:
    handler = Echoed(url, options)
    with Reactor(backend=options["backend"]) as reactor:
        reactor.connect(url, handler, **{name: value for name, value in options.items() if name != "backend"})
        reactor.call_later(20.0, reactor.stop)
        while reactor.connections:
            reactor.poll(0.1)
    assert handler.messages == ["first", *(str(number + 1) for number in range(MESSAGES))]
    assert handler.errors == [None]


def main() -> None:
    face, backend, url, ca_file = sys.argv[1:]
    options: dict[str, Any] = {"backend": backend}
    if url.startswith("wss"):
        options["tls"] = TLSContext(ca_file=ca_file)
    if face == "asyncio":
        asyncio.run(run_aio(url, options))
    else:
        (run_blocking if face == "blocking" else run_reactor)(url, options)
    print("undisturbed")


if __name__ == "__main__":
    main()
