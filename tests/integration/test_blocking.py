"""The blocking face: on both backends, sleeping and polling, against `websockets`."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hftcore import OrderTemplate, blocking
from hftcore.errors import (
    ConfigError,
    ConnectionClosed,
    ConnectionLost,
    HandshakeError,
    LimitExceeded,
    LocalProtocolError,
    TLSError,
)
from hftcore.reconnect import Reconnect
from hftcore.tls import TLSContext
from hftcore.venues import Slot
from tests.integration import rig
from tests.integration.ws_server import WAIT_S, WebSocketServer, serving
from tests.integration.wsrig import QUIET, RawPeer, raw_server

FOREVER = float("inf")
Connect = Callable[..., blocking.ClientConnection]


@pytest.fixture(params=[0.0, FOREVER], ids=["sleeps", "polls"])
def connect(request: pytest.FixtureRequest, backend: str) -> Connect:
    """blocking.connect, sleeping and polling."""

    def of(url: str | list[str], **options: Any) -> blocking.ClientConnection:
        return blocking.connect(url, **{"backend": backend, "spin_us": request.param, **options})

    return of


def test_messages_come_back_as_they_were_sent(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo"), recv_queue=16384) as ws:
        for message in ("", b"", "text", "\u00e9\u20ac\U0001f600", b"\x00\xff", "x" * 100_000, b"y" * 700_000):
            ws.send(message)
            answer = ws.recv()
            assert answer == message
            assert type(answer) is type(message)
        ws.send(memoryview(b"view"))
        ws.send_text("t\u00e9xt".encode())
        assert ws.recv(decode=True) == "view"
        assert ws.recv(decode=False) == "t\u00e9xt".encode()
        with pytest.raises(TypeError):
            ws.send(5)  # type: ignore[arg-type]


def test_templates(connect: Connect, server: WebSocketServer) -> None:
    template = OrderTemplate('{"id":${id}}', slots={"id": Slot("uint")})
    with connect(server.url("echo")) as ws:
        ws.send_template(template, id=7)
        assert ws.recv() == '{"id":7}'


def test_iterating_ends_with_the_connection(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("count?to=2000&size=300")) as ws:
        assert [int(str(message).split()[0]) for message in ws] == list(range(2000))
        assert list(ws) == []
    with connect(server.url("close?code=1001&reason=going")) as ws:
        assert list(ws) == ["last"]
    assert (ws.close_code, ws.close_reason) == (1001, "going")


@pytest.mark.parametrize(("path", "code"), [("close?code=1011&reason=broken", 1011), ("cut", 1006)])
def test_a_bad_end_is_raised_after_what_came_before(
    connect: Connect, server: WebSocketServer, path: str, code: int
) -> None:
    with connect(server.url(path)) as ws:
        messages = iter(ws)
        assert next(messages) == "last"
        with pytest.raises(ConnectionClosed) as caught:
            next(messages)
        assert caught.value.close_code == ws.close_code == code
        for call in (ws.recv, lambda: ws.send("x"), ws.ping):
            with pytest.raises(ConnectionClosed):
                call()


def test_time_outs(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo")) as ws:
        for timeout_s in (0, 0.05, 0.3):
            began = time.monotonic()
            with pytest.raises(TimeoutError, match="no message"):
                ws.recv(timeout_s)
            assert timeout_s <= time.monotonic() - began < timeout_s + 1
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout_s"):
                ws.recv(wrong)
        ws.send("still here")
        assert ws.recv(WAIT_S) == "still here"


def test_a_sender_waits_for_room(connect: Connect, own_server: WebSocketServer) -> None:
    with connect(own_server.url("hold"), send_queue=65536, send_buffer=8192) as ws:
        with pytest.raises(LimitExceeded):
            ws.send(b"x" * 70_000)
        sent = 0
        with pytest.raises(TimeoutError, match="send queue"):  # noqa: PT012  which one it is depends on the kernel
            for sent in range(1000):
                ws.send(bytes([sent % 256]) * 20_000, 0.1)
        threading.Timer(0.1, own_server.open_gate).start()
        ws.send(b"whole")
    own_server.wait_for("close /hold")
    assert own_server.received == [*((20_000, bytes([i % 256])) for i in range(sent)), (5, b"w")]


def test_another_thread_may_not(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo")) as ws:
        problems: list[str] = []

        def elsewhere() -> None:
            for call in (lambda: ws.send("x"), ws.recv, ws.ping, ws.close, ws.abort, lambda: next(iter(ws))):
                try:
                    call()
                except RuntimeError as error:
                    problems.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(WAIT_S)
        assert len(problems) == 6
        assert all("belongs to" in problem for problem in problems)
        ws.send("x")
        assert ws.recv() == "x"


def test_one_dropped_by_another_thread_takes_nothing_with_it(connect: Connect, own_server: WebSocketServer) -> None:
    """Left open, it goes with a collection of garbage, which any thread may make: one with a connection of its own."""
    kept = []
    thread = threading.Thread(target=lambda: kept.append(connect(own_server.url("told"))))
    thread.start()
    thread.join()
    with connect(own_server.url("echo")) as ws:
        before = len(os.listdir("/proc/self/fd"))
        kept.clear()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) < before
        for number in range(3):
            ws.send(str(number))
            assert ws.recv(WAIT_S) == str(number)


def test_ctrl_c(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo")) as ws:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ws.recv()
        assert time.monotonic() - began < 2
        timer.join()
        ws.send("it goes on")
        assert ws.recv() == "it goes on"


def test_ctrl_c_while_connecting(backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            blocking.connect(url, backend=backend)
        timer.join()


def test_pings(connect: Connect, own_server: WebSocketServer) -> None:
    with connect(own_server.url("told")) as ws:
        assert 0 < ws.ping() < 5
        assert ws.latency > 0
        own_server.wait_for("open /told")
        answered = own_server.run(own_server.sessions[0].ping())
        with pytest.raises(TimeoutError):
            ws.recv(0.1)
        assert answered.done()
        answered = own_server.run(own_server.sessions[0].ping())
        time.sleep(0.1)
        ws.send("one that only sends answers, too")
        time.sleep(0.1)
        assert answered.done()


def test_the_answer_to_an_earlier_ping_is_no_other_pings(connect: Connect) -> None:
    def answer(peer: RawPeer) -> None:
        peer.upgrade()
        first, second = peer.read_frame()[1], peer.read_frame()[1]
        peer.send(10, first)
        time.sleep(0.1)
        peer.send(10, second)
        peer.read_to_end()

    with raw_server(answer) as port, connect(f"ws://127.0.0.1:{port}/", **QUIET) as ws:
        with pytest.raises(TimeoutError):
            ws.ping(0.02)
        assert 0.1 <= ws.ping() < 5
        ws.abort()


def test_a_pong_behind_more_messages_than_there_is_room_for(connect: Connect, server: WebSocketServer) -> None:
    """Nobody else would take them: to wait would be for ever."""
    with connect(server.url("count?to=1000&size=1000"), recv_queue=16384) as ws:
        time.sleep(0.2)
        for _ in range(2):
            with pytest.raises(LimitExceeded, match="recv"):
                ws.ping()
        assert sum(1 for _ in ws) == 1000


def test_a_program_that_was_away_is_not_taken_for_a_mute_peer(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo"), ping_interval_s=0.02, ping_timeout_s=0.4) as ws:
        for _ in range(4):
            sent = ws.stats().pings
            while ws.stats().pings == sent:
                with pytest.raises(TimeoutError):
                    ws.recv(0.0001)
            time.sleep(0.5)  # the answer lies in the socket, and is late only by our own doing
        ws.send("x")
        assert ws.recv() == "x"


def test_closing(connect: Connect, own_server: WebSocketServer) -> None:
    ws = connect(own_server.url("told"))
    with pytest.raises(LocalProtocolError):
        ws.close(1006)
    assert ws.is_open
    ws.close(3000, "bye")
    ws.close()
    ws.abort()
    assert (ws.close_code, ws.error, ws.is_open) == (1000, None, False)
    with pytest.raises(ConnectionClosed):
        ws.recv()
    with connect(own_server.url("count?to=20000&size=1000"), recv_queue=16384) as flooded:
        flooded.recv()
    assert len(list(flooded)) < 1000
    own_server.wait_for("close /told")
    assert own_server.sessions[0].close_code == 3000
    assert ws.stats().messages_in == 0


def test_connections_leave_nothing(connect: Connect, server: WebSocketServer) -> None:
    with connect(server.url("echo")):
        pass  # the connector's thread has its descriptors for good
    server.wait_for("close /echo")
    before = rig.open_fds()
    for _ in range(3):
        with connect(server.url("echo")) as ws:
            ws.send("x")
            assert ws.recv() == "x"
        with pytest.raises(HandshakeError):
            connect(server.url("refuse?status=403"))
        connect(server.url("echo")).abort()
    del ws
    until = time.monotonic() + WAIT_S
    while len(rig.open_fds()) > len(before):  # the server closes its ends, too
        assert time.monotonic() < until, set(rig.open_fds()) - set(before)
        time.sleep(0.01)


def test_errors_of_connecting(connect: Connect, server: WebSocketServer, trust: rig.Trust) -> None:
    for wrong in ({"backend": "kqueue"}, {"spin_us": -1.0}, {"spin_us": float("nan")}, {"unknown": 1}):
        with pytest.raises(ConfigError):
            connect("ws://127.0.0.1:1", **wrong)
    with pytest.raises(ConnectionRefusedError):
        connect("ws://127.0.0.1:1/")
    with pytest.raises(HandshakeError) as caught:
        connect(server.url("refuse?status=401"))
    assert caught.value.status == 401
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(ConnectionLost) as lost:
            connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", connect_timeout_s=0.2)
        assert lost.value.name == "HFT_E_CONN_HANDSHAKE_TIMEOUT"
        assert time.monotonic() - began < 2
    with serving(context=trust.context) as secure:
        with pytest.raises(TLSError):
            connect(secure.url("echo"))
        with connect(secure.url("echo"), tls=TLSContext(ca_file=trust.ca_file)) as ws:
            assert ws.tls_version == "TLSv1.3"
            ws.send("x" * 200_000)
            assert ws.recv() == "x" * 200_000


def test_redirects_and_attempts(connect: Connect, server: WebSocketServer, tmp_path: Path) -> None:
    with connect(server.url("redirect?to=/echo"), max_redirects=1) as ws:
        assert ws.url == server.url("echo")
    urls = ["ws://127.0.0.1:1/", server.url("refuse?status=503"), server.url("echo")]
    with connect(urls, reconnect=Reconnect(initial_s=0.01)) as ws:
        assert ws.url == server.url("echo")
    with pytest.raises(ConnectionRefusedError):
        connect(urls[0], reconnect=Reconnect(initial_s=0.01, attempts=2))
    with serving(path=tmp_path / "s") as local, connect(local.url("echo")) as ws:
        ws.send("x")
        assert ws.recv() == "x"
