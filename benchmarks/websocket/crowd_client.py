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
from typing import Any

import picows
import picows.picows
import uvloop

import hftcore.reactor
from benchmarks import native
from hftcore.reactor import Reactor
from hftcore.tls import TLSContext

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


def use_hftcore(task: Task, spin_us: float) -> None:
    module = native.extension("websocket/hft_handler.pyx", hftcore.reactor.__file__)
    options: dict[str, Any] = {"ping_interval_s": task.ping_s, "connect_timeout_s": 60}
    if task.url.startswith("wss"):
        options["tls"] = TLSContext(ca_file=task.ca_file)
    with Reactor(spin_us=spin_us, max_connections=task.connections) as reactor:
        left = task.connections

        def dial() -> None:
            nonlocal left
            if left:
                left -= 1
                reactor.connect(task.url, handler, **options)

        def opened() -> None:
            dial()
            if handler.n_open == task.connections:
                reactor.stop()

        handler = module.CrowdHandler(MOST_STAMPS, opened)
        before, began = resident(), time.monotonic()
        for _ in range(AT_ONCE):
            dial()
        reactor.run()
        say("opened", Opened(time.monotonic() - began, resident() - before))
        while seconds := order():
            cpu = time.process_time()
            reactor.call_later(seconds, reactor.stop)
            reactor.run()
            ran = Ran(time.process_time() - cpu, len(handler))
            handler.write(task.path.encode())
            say("ran", ran)
        os._exit(0)


CLIENTS: dict[str, Callable[[Task], None]] = {
    "hftcore, Cython handler, sleep": lambda task: use_hftcore(task, 0),
    "hftcore, Cython handler, spin": lambda task: use_hftcore(task, float("inf")),
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
