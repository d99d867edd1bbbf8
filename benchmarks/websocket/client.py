"""One client of the round trips, in a process of its own: `python -m benchmarks.websocket.client KIND JSON`.

Each is written as a user of that library would who wants its best: messages go out as what the library sends quickest,
and arrive as text, which is compared with what was sent (the Cython ones compare bytes in place). A loop that "spins"
is kept from sleeping by a callback that schedules itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import aiohttp
import picows
import picows.picows
import uvloop
import websockets
import websockets.sync.client

import hftcore.reactor
from benchmarks import native
from benchmarks.websocket import PAYLOAD
from benchmarks.websocket.meter import Meter
from hftcore import aio, blocking
from hftcore.reactor import Connection, Handler, Message, Reactor
from hftcore.tls import TLSContext

ENCODED = PAYLOAD.encode()


@dataclass(frozen=True)
class Task:
    """Whom to speak to, and where the samples go."""

    cpu: int
    url: str
    ca_file: str
    path: str

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.ca_file) if self.url.startswith("wss") else None

    @property
    def options(self) -> dict[str, Any]:
        """Of hftcore's connections. No pings: who waits for its turn answers none."""
        tls = {"tls": TLSContext(ca_file=self.ca_file)} if self.url.startswith("wss") else {}
        return {"ping_interval_s": 0, **tls}


def check(text: str) -> None:
    if text != PAYLOAD:
        raise RuntimeError("this is not what was sent")


def spin() -> None:
    asyncio.get_running_loop().call_soon(spin)


# ---- picows ----


class Listener(picows.WSListener):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def send(self, transport: picows.WSTransport) -> None:
        if self.meter.timing_send:
            before = perf_counter_ns()
            transport.send(picows.WSMsgType.TEXT, ENCODED)
            self.meter.sent(before)
        else:
            transport.send(picows.WSMsgType.TEXT, ENCODED)

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        if self.meter.turn("ready"):
            self.send(transport)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        check(frame.get_payload_as_ascii_text())
        if self.meter.arrived() or self.meter.turn("done"):
            self.send(transport)
        else:
            transport.disconnect()


async def use_picows(task: Task, listener: Callable[[], picows.WSListener], spinning: bool) -> None:
    if spinning:
        spin()
    quicker = task.tls is not None  # aiofastnet: of the two transports that it may have, the one with less latency here
    transport, _ = await picows.ws_connect(listener, task.url, ssl_context=task.tls, use_aiofastnet=quicker)
    await transport.wait_disconnected()


def picows_cython(task: Task) -> Coroutine[Any, Any, None]:
    module = native.extension("websocket/picows_listener.pyx", picows.picows.__file__)
    return use_picows(task, lambda: module.Listener(task.path.encode(), ENCODED), True)


def picows_python(task: Task) -> Coroutine[Any, Any, None]:
    return use_picows(task, lambda: Listener(Meter(task.path)), True)


def picows_default(task: Task) -> Coroutine[Any, Any, None]:
    return use_picows(task, lambda: Listener(Meter(task.path)), False)


# ---- hftcore ----

FOREVER = float("inf")


class PythonHandler(Handler):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def send(self, connection: Connection) -> None:
        if self.meter.timing_send:
            before = perf_counter_ns()
            connection.send_text(ENCODED)
            self.meter.sent(before)
        else:
            connection.send_text(ENCODED)

    def on_open(self, connection: Connection) -> None:
        if self.meter.turn("ready"):
            self.send(connection)

    def on_message(self, connection: Connection, message: Message) -> None:
        check(message.text)
        if self.meter.arrived() or self.meter.turn("done"):
            self.send(connection)
        else:
            connection.close()


def use_reactor(task: Task, handler: Handler) -> None:
    with Reactor(spin_us=FOREVER) as reactor:
        reactor.connect(task.url, handler, **task.options)
        reactor.run()


def hft_cython(task: Task) -> None:
    module = native.extension("websocket/hft_handler.pyx", hftcore.reactor.__file__)
    use_reactor(task, module.MeterHandler(task.path.encode(), ENCODED))


def hft_python(task: Task) -> None:
    use_reactor(task, PythonHandler(Meter(task.path)))


async def hft_asyncio(task: Task) -> None:
    async with aio.connect(task.url, spin_us=FOREVER, **task.options) as ws:
        await turns(Meter(task.path), ws.send, ws.recv)


def hft_blocking(task: Task) -> None:
    with blocking.connect(task.url, spin_us=FOREVER, **task.options) as ws:
        turns_in_a_row(Meter(task.path), ws.send, ws.recv)


# ---- aiohttp, websockets ----


async def turns(
    meter: Meter, send: Callable[[str], Coroutine[Any, Any, None]], receive: Callable[[], Coroutine[Any, Any, str]]
) -> None:
    word = "ready"
    while meter.turn(word):
        going = True
        while going:
            if meter.timing_send:
                before = perf_counter_ns()
                await send(PAYLOAD)
                meter.sent(before)
            else:
                await send(PAYLOAD)
            check(await receive())
            going = meter.arrived()
        word = "done"


async def use_aiohttp(task: Task) -> None:
    spin()
    async with aiohttp.ClientSession() as session, session.ws_connect(task.url, ssl=task.tls or True) as ws:
        await turns(Meter(task.path), ws.send_str, ws.receive_str)


async def use_websockets(task: Task) -> None:
    async with websockets.connect(
        task.url, ssl=task.tls, compression=None, ping_interval=None, proxy=None, max_queue=None
    ) as ws:
        await turns(Meter(task.path), ws.send, ws.recv)


def turns_in_a_row(meter: Meter, send: Callable[[str], None], receive: Callable[[], str]) -> None:
    word = "ready"
    while meter.turn(word):
        going = True
        while going:
            if meter.timing_send:
                before = perf_counter_ns()
                send(PAYLOAD)
                meter.sent(before)
            else:
                send(PAYLOAD)
            check(receive())
            going = meter.arrived()
        word = "done"


def use_websockets_sync(task: Task) -> None:
    with websockets.sync.client.connect(task.url, ssl=task.tls, compression=None, ping_interval=None, proxy=None) as ws:
        turns_in_a_row(Meter(task.path), ws.send, ws.recv)


def on_uvloop(use: Callable[[Task], Coroutine[Any, Any, None]]) -> Callable[[Task], None]:
    return lambda task: uvloop.run(use(task))


def on_asyncio(use: Callable[[Task], Coroutine[Any, Any, None]]) -> Callable[[Task], None]:
    return lambda task: asyncio.run(use(task))


CLIENTS: dict[str, Callable[[Task], None]] = {
    "hftcore, Cython handler, spin": hft_cython,
    "hftcore, Python handler, spin": hft_python,
    "hftcore, asyncio, spin": on_uvloop(hft_asyncio),
    "hftcore, blocking, spin": hft_blocking,
    "picows, Cython listener, uvloop spinning": on_uvloop(picows_cython),
    "picows, Python listener, uvloop spinning": on_uvloop(picows_python),
    "picows, Python listener, uvloop": on_uvloop(picows_default),
    "aiohttp, uvloop spinning": on_uvloop(use_aiohttp),
    "websockets, uvloop": on_uvloop(use_websockets),
    "websockets, asyncio": on_asyncio(use_websockets),
    "websockets, blocking": use_websockets_sync,
}


def main() -> None:
    kind, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    os.sched_setaffinity(0, {task.cpu})
    CLIENTS[kind](task)


if __name__ == "__main__":
    main()
