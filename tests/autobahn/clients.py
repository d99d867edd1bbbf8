"""`python -m tests.autobahn.clients FACE URL AGENT`: a client that plays all cases of a server, one face of ours.

The protocol of such clients: /getCaseCount sends one text message, a number; on /runCase?case=N&agent=NAME every
message is echoed until the server closes; /updateReports?agent=NAME writes the report. Prints the number of cases, then
that of each as it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
from collections import deque
from collections.abc import Callable
from typing import Any

CASE_S = 300  # a case that takes longer hangs; the stacks of all threads are printed, and the client ends
MESSAGE_MAX = 17 << 20  # the largest of 9.* have 16 MiB
Play = Callable[[str, bool], "str | None"]


def play_handler(url: str, echo: bool, backend: str, compress: bool) -> str | None:
    """Face (a): a Handler called by Reactor.run()."""
    from hftcore.errors import LimitExceeded
    from hftcore.reactor import Connection, Deflate, Handler, Message, Reactor

    class Echo(Handler):
        def __init__(self) -> None:
            self.first: str | None = None
            self.waiting: deque[str | bytes] = deque()

        def on_message(self, connection: Connection, message: Message) -> None:
            data = message.text if message.is_text else message.data
            if not echo:
                self.first = str(data)
                return
            self.waiting.append(data)
            self.on_writable(connection)

        def on_writable(self, connection: Connection) -> None:
            while self.waiting:
                try:
                    connection.send(self.waiting[0])
                except LimitExceeded:
                    connection.pause()
                    return
                self.waiting.popleft()
            connection.resume()

        def on_close(self, _connection: Connection, _error: BaseException | None) -> None:
            reactor.stop()

    handler = Echo()
    reactor = Reactor(backend=backend)
    reactor.connect(url, handler, **_options(Deflate() if compress else None))
    reactor.run()
    return handler.first


def _options(compression: Any) -> dict[str, Any]:
    return {
        "compression": compression, "max_message": MESSAGE_MAX, "send_queue": MESSAGE_MAX, "ping_interval_s": 0,
    }  # fmt: skip


def play_asyncio(url: str, echo: bool, backend: str, compress: bool) -> str | None:
    """Face (b): asyncio."""
    from hftcore import aio
    from hftcore.errors import ConnectionClosed, HftError
    from hftcore.reactor import Deflate

    async def play() -> str | None:
        with contextlib.suppress(HftError):
            async with aio.connect(url, backend=backend, **_options(Deflate() if compress else None)) as ws:
                if not echo:
                    with contextlib.suppress(ConnectionClosed):
                        return str(await ws.recv())
                async for message in ws:
                    await ws.send(message)
        return None

    return asyncio.run(play())


def play_blocking(url: str, echo: bool, backend: str, compress: bool) -> str | None:
    """Face (c): calls that wait."""
    from hftcore import blocking
    from hftcore.errors import HftError
    from hftcore.reactor import Deflate

    with (
        contextlib.suppress(HftError),
        blocking.connect(url, backend=backend, **_options(Deflate() if compress else None)) as ws,
    ):
        if not echo:
            return str(ws.recv())
        for message in ws:
            ws.send(message)
    return None


def play_websockets(url: str, echo: bool, _backend: str, compress: bool) -> str | None:
    """A peer, `websockets` over asyncio: its result is known, and proves this suite as much as the suite proves it."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    async def play() -> str | None:
        compression = "deflate" if compress else None
        async with connect(url, max_size=None, compression=compression, ping_interval=None) as ws:
            with contextlib.suppress(ConnectionClosed):
                if not echo:
                    return str(await ws.recv())
                async for message in ws:
                    await ws.send(message)
        return None

    return asyncio.run(play())


FACES = {"handler": play_handler, "asyncio": play_asyncio, "blocking": play_blocking}
PEERS = {"websockets": play_websockets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("face", choices=[*FACES, *PEERS])
    parser.add_argument("url")
    parser.add_argument("agent")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--compress", action="store_true")
    options = parser.parse_args()
    play = (FACES | PEERS)[options.face]
    count = int(play(f"{options.url}/getCaseCount", False, options.backend, False) or 0)
    print(count, flush=True)
    for case in range(1, count + 1):
        faulthandler.dump_traceback_later(CASE_S, exit=True)
        play(f"{options.url}/runCase?case={case}&agent={options.agent}", True, options.backend, options.compress)
        print(case, flush=True)
    faulthandler.cancel_dump_traceback_later()
    play(f"{options.url}/updateReports?agent={options.agent}", True, options.backend, False)


if __name__ == "__main__":
    main()
