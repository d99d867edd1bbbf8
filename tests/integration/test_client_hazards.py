"""What users and servers do wrong to the three faces of the client: nothing crashes, hangs, leaks or is told twice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from asyncio.trsock import TransportSocket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hftcore import aio
from hftcore._request import Request
from hftcore.errors import ConfigError, ConnectionLost, HftError, RemoteProtocolError
from hftcore.reactor import Connection, Handler, Reactor
from hftcore.reconnect import Reconnect
from hftcore.tls import TLSContext
from tests.integration.wsrig import QUIET, RawPeer, Recorder, raw_server, run, run_until, websockets_server

FAST = Reconnect(initial_s=0.01, max_s=0.05)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with Reactor() as reactor:
        yield reactor


def cut(peer: RawPeer) -> None:
    peer.upgrade()


def redirect(location: bytes) -> Callable[[RawPeer], None]:
    def script(peer: RawPeer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    return script


@contextlib.contextmanager
def serving(script: Callable[[socket.socket], object]) -> Iterator[int]:
    """Runs script(listener) on a thread, until it ends or the listener is closed; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def play() -> None:
        with contextlib.suppress(OSError):
            script(listener)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


# ---- wrong objects ----


def test_a_socket_that_cannot_be_given_up_stays_its_owners(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        peer = listener.accept()[0]
        with pytest.raises(AttributeError):
            reactor.add(TransportSocket(sock), "ws://127.0.0.1/", Handler())  # type: ignore[arg-type]
        peer.close()
        reactor.poll(0.05)
        assert sock.recv(1) == b""
    assert reactor.connections == ()


def test_connections_are_made_by_reactors_only() -> None:
    with pytest.raises(TypeError):
        Connection.__new__(Connection)


@pytest.mark.parametrize("wrong", [True, object()])
def test_only_a_tls_context_will_do(wrong: object) -> None:
    with pytest.raises(ConfigError, match="TLSContext"):
        aio.connect("wss://127.0.0.1:1/", tls=wrong)


@pytest.mark.parametrize("name", ["ca_file", "ca_data", "certificate", "key", "ciphers", "keylog_file"])
def test_an_empty_text_is_not_taken_for_none(name: str) -> None:
    with pytest.raises(ConfigError, match="empty"):
        TLSContext(**{name: ""})


@pytest.mark.parametrize(
    "url",
    ["wss://user:se/cret@host/", "wss://user:se?cret@host/", "wss://user:se#cret@host/", "user:secret@host",
     "http://user:se/cret@host:1", "user:secret@host:8080", "wss://user:secret@ho st/"],
)  # fmt: skip
def test_an_error_never_shows_a_password(url: str) -> None:
    for parse in (lambda: Request.parse(url), lambda: Request.parse("wss://x/", proxy=url)):
        with pytest.raises(ConfigError) as caught:
            parse()
        assert "cret" not in str(caught.value)
        assert "'se'" not in str(caught.value)


def test_what_waits_for_room_is_checked_before() -> None:
    sizes: list[int] = []

    def slow(peer: RawPeer) -> None:
        peer.upgrade()
        time.sleep(0.3)
        while (frame := peer.read_frame())[0] != 8:
            sizes.append(len(frame[1]))
        peer.send(8, struct.pack(">H", 1000))

    async def main(port: int) -> None:
        async with aio.connect(f"ws://127.0.0.1:{port}/", send_buffer=4096, **QUIET) as ws:
            tasks = [asyncio.create_task(ws.send(b"x" * 900_000)) for _ in range(6)]
            await asyncio.sleep(0.01)
            for wrong in (5, [1, 2], None):
                for send in (ws.send, ws.send_text):
                    with pytest.raises(TypeError):
                        await send(wrong)  # type: ignore[arg-type]
            await asyncio.gather(*tasks)

    with raw_server(slow) as port:
        asyncio.run(main(port))
    assert sizes == [900_000] * 6


# ---- the loop ----


def test_what_poll_calls_may_not_run_or_close_the_reactor(reactor: Reactor) -> None:
    for wrong in (reactor.poll, reactor.run, reactor.close):
        reactor.call_soon_threadsafe(wrong)
        reactor.call_soon_threadsafe(lambda: None)
        with pytest.raises(HftError, match="runs already"):
            reactor.poll(1)
        reactor.poll(0)


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_a_time_out_that_is_none(reactor: Reactor, wrong: float) -> None:
    reactor.call_later(1, lambda: None)
    with pytest.raises(ValueError, match="timeout_s"):
        reactor.poll(wrong)


def test_a_call_in_the_far_future_is_not_made_now(reactor: Reactor) -> None:
    made: list[float] = []
    for delay_s in (float("inf"), 1.8e10, 1e12):
        reactor.call_later(delay_s, made.append, delay_s)
    reactor.poll(0)
    assert made == []


def test_closing_tells_all_whatever_one_raises() -> None:
    told = []

    class Stopping(Handler):
        def on_close(self, connection: Connection, error: Exception | None) -> None:
            told.append(connection)
            raise KeyboardInterrupt

    reactor = Reactor()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(3):
            reactor.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", Stopping(), **QUIET)
        with pytest.raises(KeyboardInterrupt):
            reactor.close()
    assert len(told) == 3


# ---- reconnecting ----


def test_what_on_lost_raises_does_not_end_the_attempts(reactor: Reactor) -> None:
    class Raising(Recorder):
        def on_lost(self, connection: Connection, error: Exception | None) -> None:
            super().on_lost(connection, error)
            raise ZeroDivisionError

    handler = Raising()
    with raw_server(cut, lambda peer: (peer.upgrade(), peer.read_frame())) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=FAST, **QUIET)
        with pytest.raises(ZeroDivisionError):
            run_until(reactor, lambda: False)
        run_until(reactor, lambda: handler.kinds == ["open", "lost", "open"])
        connection.close()
        run_until(reactor, lambda: not reactor.connections)


def test_what_retry_if_raises_is_the_end(reactor: Reactor) -> None:
    def broken(error: BaseException) -> bool:
        raise ZeroDivisionError

    handler = Recorder()
    with raw_server(cut) as port:
        reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=Reconnect(retry_if=broken), **QUIET)
        with pytest.raises(ZeroDivisionError):
            run_until(reactor, lambda: False)
    assert handler.kinds == ["open", "close"]


@pytest.mark.parametrize("location", [b"http://[::1", b"//[x]/", b"ws://h:99999/", b"ws://x/" + b"a" * 3000, b"ws:"])
def test_a_redirect_to_nowhere(reactor: Reactor, location: bytes) -> None:
    handler = Recorder()
    with raw_server(redirect(location)) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", max_redirects=2)
    assert isinstance(handler.error, RemoteProtocolError | ConnectionLost)


def test_a_successor_may_be_redirected(reactor: Reactor) -> None:
    handler = Recorder()
    with websockets_server() as target:

        def away(listener: socket.socket) -> None:
            while True:
                with listener.accept()[0] as sock:
                    redirect(f"ws://127.0.0.1:{target}/".encode())(RawPeer(sock))

        with serving(away) as port:
            connection = reactor.connect(
                f"ws://127.0.0.1:{port}/", handler, max_redirects=1,
                reconnect=Reconnect(max_age_s=0.1, overlap_s=0.05), **QUIET,
            )  # fmt: skip
            run_until(reactor, lambda: handler.kinds == ["open"] * 3)
            connection.close()
            run_until(reactor, lambda: not reactor.connections)
    assert handler.error is None


def test_closing_waits_for_the_open_link_and_not_for_its_successor(reactor: Reactor) -> None:
    asked = threading.Event()

    def script(listener: socket.socket) -> None:
        with listener.accept()[0] as one:
            peer = RawPeer(one)
            peer.upgrade()
            with listener.accept()[0] as two:
                RawPeer(two).read_request()
                asked.set()
                peer.read_frame()
                time.sleep(0.1)
                peer.send(1, b"late")
                peer.send(8, struct.pack(">H", 1000))

    handler = Recorder()
    with serving(script) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=Reconnect(max_age_s=0.1), **QUIET)
        run_until(reactor, asked.is_set)
        reactor.poll(0.02)
        connection.close()
        deadline = time.monotonic() + 0.4
        while time.monotonic() < deadline:
            reactor.poll(0.02)
    assert handler.kinds == ["open", "message", "close"]
    assert handler.error is None


def test_nothing_is_told_of_an_old_link_after_the_end(reactor: Reactor) -> None:
    def script(listener: socket.socket) -> None:
        with listener.accept()[0] as one, contextlib.closing(socket.socket()):
            old = RawPeer(one)
            old.upgrade()
            with listener.accept()[0] as two:
                successor = RawPeer(two)
                successor.upgrade()
                time.sleep(0.05)
                successor.send(8, struct.pack(">H", 1008))
            for _ in range(8):
                time.sleep(0.02)
                old.send(1, b"old")

    handler = Recorder()
    policy = Reconnect(max_age_s=0.2, retry_if=lambda error: False)
    with serving(script) as port:
        reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=policy, **QUIET)
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            reactor.poll(0.02)
    assert handler.error.close_code == 1008


def test_cancelled_while_it_closes_an_iteration_leaves_no_successor() -> None:
    async def iterate(port: int) -> None:
        options: dict[str, Any] = {**QUIET, "reconnect": Reconnect(max_age_s=100)}
        async for _ in aio.connect(f"ws://127.0.0.1:{port}/", **options):
            pass

    async def main(port: int) -> None:
        task = asyncio.create_task(iterate(port))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with raw_server(lambda peer: (peer.upgrade(), time.sleep(0.5))) as port:
        asyncio.run(main(port))


# ---- leaks ----


def test_a_loop_that_is_gone_takes_its_reactor_along() -> None:
    async def main(port: int) -> None:
        ws = await aio.connect(f"ws://127.0.0.1:{port}/", **QUIET)
        await ws.send("x")
        assert await ws.recv() == "x"

    with websockets_server() as port:
        counts = []
        for _ in range(4):
            asyncio.run(main(port))
            gc.collect()
            time.sleep(0.05)  # the server's side ends
            counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] - counts[0] <= 2


def test_input_that_is_no_text_is_an_error() -> None:
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    with websockets_server() as port:
        command = [sys.executable, "-m", "runner", "ws", f"ws://127.0.0.1:{port}/"]
        done = subprocess.run(command, check=False, input=b"\xff\n", capture_output=True, timeout=20, env=environment)
    assert done.returncode != 0
    assert b"standard input" in done.stderr
    assert b"Traceback" not in done.stderr
