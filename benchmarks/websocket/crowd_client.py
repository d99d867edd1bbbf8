"""The client of the crowd's server, in a process of its own: `python -m benchmarks.websocket.crowd_client KIND JSON`.

Opens so many connections, tells what they took, then runs for the seconds that each line of standard input asks for
and tells what that took; the times that messages were on their way go to a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import picows
import picows.picows
import uvloop

from benchmarks import native

MOST_STAMPS = 2_000_000
AT_ONCE = 200  # connections that are being opened


@dataclass(frozen=True)
class Task:
    """Whom to speak to: `connections` to url, each of which pings where it was silent for ping_s."""

    cpu: int
    url: str
    ca_file: str
    path: str
    connections: int
    ping_s: float

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.url.startswith("wss") else None


@dataclass(frozen=True)
class Opened:
    """What opening all took: seconds, and bytes of memory that the process has more than before."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Ran:
    """What a while took: CPU of all the process' threads, and messages that came."""

    cpu_s: float
    messages: int


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def say(word: str, what: Opened | Ran | None = None) -> None:
    print(word, json.dumps(asdict(what)) if what is not None else "", flush=True)


def order() -> float:
    """The seconds that the next line asks for; 0 at the end."""
    return float(sys.stdin.readline() or 0)


async def use_picows(task: Task) -> None:
    module = native.extension("websocket/picows_listener.pyx", picows.picows.__file__)
    stamps, gate, tls = module.Stamps(MOST_STAMPS), asyncio.Semaphore(AT_ONCE), task.tls
    before, began = resident(), time.monotonic()

    async def dial() -> picows.WSTransport:
        async with gate:
            transport, _ = await picows.ws_connect(
                lambda: module.CrowdListener(stamps), task.url, ssl_context=tls, websocket_handshake_timeout=60,
                enable_auto_ping=True, auto_ping_idle_timeout=task.ping_s, auto_ping_reply_timeout=task.ping_s,
            )  # fmt: skip
            return transport

    transports = await asyncio.gather(*(dial() for _ in range(task.connections)))
    say("opened", Opened(time.monotonic() - began, resident() - before))
    while seconds := order():
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        ran = Ran(time.process_time() - cpu, len(stamps))
        stamps.write(task.path.encode())
        say("ran", ran)
    assert not any(transport.is_disconnected for transport in transports)
    os._exit(0)  # an end in order would take longer than all before


CLIENTS: dict[str, Callable[[Task], None]] = {
    "picows, Cython listener, uvloop": lambda task: uvloop.run(use_picows(task)),
}


def main() -> None:
    kind, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    os.sched_setaffinity(0, {task.cpu})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    CLIENTS[kind](task)


if __name__ == "__main__":
    main()
