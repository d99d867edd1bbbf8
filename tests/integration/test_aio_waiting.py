"""Whoever waits for something on the asyncio face is woken by it, whatever else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time

import pytest

from hftcore import aio
from hftcore.errors import ConnectionClosed, RemoteProtocolError
from hftcore.ws import accept_key
from tests.integration.aio_rig import FOREVER, LOOPS
from tests.integration.ws_server import WAIT_S, WebSocketServer


def test_a_receiver_of_another_loop_is_not_waited_for(backend: str, server: WebSocketServer) -> None:
    """A recv() that was refused leaves the place of the one receiver to others."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def opened() -> aio.ClientConnection:
        return await aio.connect(server.url("echo"), backend=backend)

    async def echoed(ws: aio.ClientConnection) -> None:
        await ws.send("x")
        assert await asyncio.wait_for(ws.recv(), WAIT_S) == "x"
        await ws.close()

    try:
        ws = first.run_until_complete(opened())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(asyncio.wait_for(ws.recv(), WAIT_S))
        first.run_until_complete(echoed(ws))
    finally:
        first.close()
        second.close()


# ---- everything at once ----

CONNECTIONS = 12


def unruly(stop: threading.Event) -> tuple[threading.Thread, int]:
    """A server whose sessions send, pause and end at random: in order, by a bad frame, or by a cut."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.settimeout(0.05)

    def session(sock: socket.socket, rng: random.Random) -> None:
        with sock, contextlib.suppress(OSError, IndexError):
            sock.settimeout(WAIT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            key = sock.recv(4096).decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
            )
            for _ in range(rng.randrange(12)):
                sock.sendall(b"\x81\x01a" * rng.choice((1, 1, 2, 5, 100)))
                time.sleep(rng.choice((0, 0, 0.001, 0.005)))
            end = rng.choice((b"\x88\x02\x03\xe8", b"\x83\x00", b"", b"\x81\x01a\x88\x02\x03\xe8"))
            sock.sendall(end)
            if end:
                while sock.recv(4096):
                    pass

    def serve() -> None:
        rng = random.Random(11)
        with listener:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    sock = listener.accept()[0]
                    threading.Thread(target=session, args=(sock, random.Random(rng.random())), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, listener.getsockname()[1]


async def receive_all(ws: aio.ClientConnection, rng: random.Random) -> None:
    """To the end of the connection, in one way or another; each step must come to an end by itself."""
    how = rng.choice(("task", "coroutine", "iterate", "cancel", "ping", "send"))
    async with asyncio.timeout(WAIT_S / 2):
        if how == "iterate":
            async for _ in ws:
                pass
        while True:
            if how == "cancel":
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ws.recv(), 0.002)
            elif how == "task":
                await asyncio.create_task(ws.recv())
            else:
                await ws.recv()
            if how == "ping":
                ws.ping()
            elif how == "send":
                await ws.send(b"x" * rng.choice((1, 100_000)))


@pytest.mark.parametrize("spin_us", [0.0, 50.0, FOREVER])
@pytest.mark.parametrize("kind", LOOPS)
def test_nobody_sleeps_through_anything(backend: str, kind: str, spin_us: float) -> None:
    rng = random.Random(7)
    stop = threading.Event()
    thread, port = unruly(stop)

    async def client(until: float) -> None:
        while time.monotonic() < until:
            async with aio.connect(
                f"ws://127.0.0.1:{port}/", backend=backend, spin_us=spin_us, close_timeout_s=0.1
            ) as ws:
                with contextlib.suppress(ConnectionClosed, RemoteProtocolError):
                    await receive_all(ws, rng)
                async with asyncio.timeout(WAIT_S / 2):
                    await ws.wait_closed()

    async def main() -> None:
        until = time.monotonic() + 0.35
        await asyncio.gather(*(client(until) for _ in range(CONNECTIONS)))

    try:
        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            runner.run(main())
    finally:
        stop.set()
        thread.join()
