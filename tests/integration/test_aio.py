"""The asyncio face: on both backends, sleeping and polling, on asyncio's loop and uvloop, against `websockets`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import threading
import time
from typing import Any

import pytest

from hftcore import aio
from hftcore.errors import (
    ConnectionClosed,
    ConnectionLost,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)
from hftcore.reconnect import Reconnect
from hftcore.ws import FrameParser
from tests.integration.aio_rig import (
    FOREVER,
    LOOPS,
    Connect,
    Run,
    echo_all,
    open_sockets,
    raw_server,
    take_all,
    until,
)
from tests.integration.ws_server import WAIT_S, WebSocketServer

# ---- messages ----


def test_messages_come_back_as_they_were_sent(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo"), recv_queue=16384) as ws:
            for message in ("", b"", "text", "\u00e9\u20ac\U0001f600", b"\x00\xff", "x" * 100_000, b"y" * 700_000):
                await ws.send(message)
                answer = await ws.recv()
                assert answer == message
                assert type(answer) is type(message)
            await ws.send(bytearray(b"array"))
            await ws.send(memoryview(b"view"))
            await ws.send_text("t\u00e9xt".encode())
            assert [await ws.recv(), await ws.recv(), await ws.recv()] == [b"array", b"view", "t\u00e9xt"]
            assert ws.stats().messages_in == 10

    run(main())


def test_text_and_bytes_as_asked_for(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as ws:
            for waits in (False, True):  # for the message, or the message for its receiver
                for message in ("\u00e9", b"ascii"):
                    await ws.send(message)
                    await ws.send(message)
                    if waits:
                        await asyncio.sleep(0.05)
                    data = message.encode() if isinstance(message, str) else message
                    assert await ws.recv(decode=False) == data
                    assert await ws.recv(decode=True) == data.decode()

    run(main())


def test_a_message_that_is_no_message(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as ws:
            for wrong in (5, None, ["a"], object()):
                with pytest.raises(TypeError):
                    await ws.send(wrong)
            await ws.send("good")
            assert await ws.recv() == "good"

    run(main())


def test_iterating_ends_with_the_connection(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("count?to=2000&size=300")) as ws:
            numbers = [int(str(message).split()[0]) async for message in ws]
        assert numbers == list(range(2000))
        assert (ws.close_code, ws.is_open) == (1000, False)
        async with connect(server.url("close?code=1001&reason=going")) as ws:
            assert [message async for message in ws] == ["last"]
        assert (ws.close_code, ws.close_reason) == (1001, "going")

    run(main())


@pytest.mark.parametrize(("path", "code"), [("close?code=1011&reason=broken", 1011), ("cut", 1006)])
def test_a_bad_end_is_raised_after_what_came_before(
    run: Run, connect: Connect, server: WebSocketServer, path: str, code: int
) -> None:
    async def main() -> None:
        async with connect(server.url(path)) as ws:
            messages: list[str | bytes] = []
            with pytest.raises(ConnectionClosed) as caught:
                await take_all(ws, messages)
            assert messages == ["last"]
            assert caught.value.close_code == ws.close_code == code
            for _ in range(2):
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
                with pytest.raises(ConnectionClosed):
                    await ws.send("too late")
                with pytest.raises(ConnectionClosed):
                    ws.ping()

    run(main())


def test_a_message_over_the_limit(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo"), max_message=1000) as ws:
            await ws.send("x" * 1000)
            assert len(await ws.recv()) == 1000
            await ws.send("x" * 1001)
            with pytest.raises(RemoteProtocolError, match="over the limit"):
                await ws.recv()

    run(main())


# ---- cancellation ----


def test_a_cancelled_receiver_loses_no_message(run: Run, connect: Connect, server: WebSocketServer) -> None:
    rng = random.Random(5)

    async def main() -> None:
        numbers, cancelled = [], 0
        async with connect(server.url("count?to=400&pause_s=0.0005")) as ws:
            while len(numbers) < 400:
                task = asyncio.create_task(ws.recv())
                await asyncio.sleep(rng.choice((0, 0, 0.0003, 0.001)))
                task.cancel()
                try:
                    numbers.append(int(str(await task).split()[0]))
                except asyncio.CancelledError:
                    cancelled += 1
        assert numbers == list(range(400))
        assert cancelled > 20

    run(main())


def test_a_cancelled_receiver_leaves_the_ring_watched(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(own_server.url("told")) as ws:
            await until(lambda: own_server.sessions)
            for i in range(20):
                task = asyncio.create_task(ws.recv())
                await asyncio.sleep(i * 0.0001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                answered = await asyncio.to_thread(own_server.run, own_server.sessions[0].ping())
                await asyncio.wait_for(asyncio.to_thread(own_server.run, wait_for(answered)), 2)

    async def wait_for(answered: Any) -> None:
        await answered

    run(main())


def test_time_outs_of_asyncio(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as ws:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.05)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(take_all(ws, []), 0.05)
            await ws.send("still here")
            assert await asyncio.wait_for(ws.recv(), WAIT_S) == "still here"

    run(main())


def test_a_cancelled_send_is_whole_or_not_at_all(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> int:
        async with connect(own_server.url("hold"), send_queue=65536, send_buffer=8192) as ws:
            await asyncio.to_thread(own_server.wait_for, "held")
            whole, waiting = 0, None
            while True:
                waiting = asyncio.ensure_future(ws.send(bytes([whole % 256]) * 30_000))
                await asyncio.wait([waiting], timeout=0.5)
                if not waiting.done():
                    break
                whole += 1
            behind = asyncio.ensure_future(ws.send(b"behind"))
            await asyncio.sleep(0.02)
            assert not behind.done()
            waiting.cancel()
            await asyncio.sleep(0.02)
            own_server.open_gate()
            await behind
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await ws.send(b"end")
            return whole

    whole = run(main())
    own_server.wait_for("close /hold")
    expected = [(30_000, bytes([number % 256])) for number in range(whole)]
    assert own_server.received == [*expected, (6, b"b"), (3, b"e")]


@pytest.mark.parametrize("where", ["connecting", "upgrading"])
def test_a_cancelled_connect_leaves_nothing(run: Run, connect: Connect, where: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if where == "upgrading":
            listener.listen()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"

        async def main() -> None:
            before = open_sockets()
            for _ in range(3):
                task = asyncio.ensure_future(asyncio.wait_for(connect(url, reconnect=Reconnect()), 10))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            for _ in range(20):
                gc.collect()
                if open_sockets() <= before:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError(open_sockets() - before)

        run(main())


# ---- who may ----


def test_one_receiver_at_a_time(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as ws:
            first = asyncio.create_task(ws.recv())
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="one at a time"):
                await ws.recv()
            with pytest.raises(RuntimeError, match="one at a time"):
                await take_all(ws, [])
            await ws.send("for the first")
            assert await first == "for the first"

    run(main())


def test_another_thread_may_not(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as ws:

            def elsewhere() -> list[str]:
                problems = []
                for call in (lambda: ws.send("x"), lambda: ws.recv().send(None), ws.ping, ws.abort):
                    try:
                        call()
                    except RuntimeError as error:
                        problems.append(str(error))
                return problems

            problems = await asyncio.to_thread(elsewhere)
            assert len(problems) == 4
            assert all("belongs to" in problem for problem in problems)
            await ws.send("x")
            assert await ws.recv() == "x"

    run(main())


def test_another_loop_may_not(backend: str, server: WebSocketServer) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:

        async def opened() -> aio.ClientConnection:
            return await aio.connect(server.url("echo"), backend=backend)

        ws = first.run_until_complete(opened())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(asyncio.wait_for(ws.recv(), WAIT_S))
        first.run_until_complete(ws.close())
    finally:
        first.close()
        second.close()


def test_only_connect_makes_connections(server: WebSocketServer) -> None:
    async def main() -> None:
        async with aio.connect(server.url("echo")) as ws:
            with pytest.raises(TypeError, match="connect"):
                ws.__init__(ws.request, "auto", 0.0)  # type: ignore[misc]

    asyncio.run(main())


# ---- back-pressure ----


def test_senders_wait_for_room_in_order(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(own_server.url("hold"), send_queue=65536, send_buffer=8192) as ws:
            with pytest.raises(LimitExceeded):
                await ws.send(b"x" * 70_000)
            tasks = [asyncio.create_task(ws.send(bytes([i]) * 20_000)) for i in range(100)]
            await asyncio.sleep(0.1)
            assert not tasks[-1].done()
            assert ws.stats().send_queue <= 65536
            own_server.open_gate()
            await asyncio.gather(*tasks)

    run(main())
    own_server.wait_for("close /hold")
    assert own_server.received == [(20_000, bytes([i])) for i in range(100)]


def test_a_receiver_that_is_slow_holds_up_the_sender(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(
            own_server.url("count?to=3000&size=10000"), recv_queue=65536, recv_buffer=65536, ping_interval_s=0
        ) as ws:
            await asyncio.sleep(0.3)
            before = ws.stats().messages_in
            await asyncio.sleep(0.2)
            assert before == ws.stats().messages_in < 100
            assert [int(str(message).split()[0]) async for message in ws] == list(range(3000))

    run(main())


def test_the_loop_has_its_turn_in_a_flood(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with connect(server.url("count?to=5000&size=1000")) as ws:
            ticking = asyncio.create_task(tick())
            received = [message async for message in ws]
            ticking.cancel()
        assert len(received) == 5000
        assert turns > 20

    run(main())


def test_others_go_on_while_one_waits(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("echo")) as silent, connect(server.url("echo")) as busy:
            waiting = asyncio.create_task(silent.recv())
            for i in range(200):
                await busy.send(str(i))
                assert await busy.recv() == str(i)
            began = time.monotonic()
            await asyncio.sleep(0.05)
            assert 0.045 < time.monotonic() - began < 1.0
            await silent.send("at last")
            assert await waiting == "at last"

    run(main())


@pytest.mark.parametrize("kind", LOOPS)
def test_a_message_that_is_there_makes_no_trip_through_the_loop(
    kind: str, backend: str, server: WebSocketServer
) -> None:
    loop = LOOPS[kind]()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    async def main() -> None:
        async with aio.connect(server.url("count?to=3000"), spin_us=FOREVER, backend=backend) as ws:
            await asyncio.sleep(0.3)
            turn()
            received = [message async for message in ws]
            assert len(received) == 3000

    try:
        loop.run_until_complete(main())
        assert turns < 300
    finally:
        loop.close()


# ---- pings, closing ----


def test_pings(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(own_server.url("told")) as ws:
            assert 0 < await ws.ping() < 5
            assert ws.latency > 0
            cancelled, last = ws.ping(), ws.ping()
            cancelled.cancel()
            assert await last > 0
            # Theirs, while nobody of ours waits for anything.
            await until(lambda: own_server.sessions)
            answered = await asyncio.to_thread(own_server.run, own_server.sessions[0].ping())
            await asyncio.sleep(0.1)
            assert answered.done()
            lost = ws.ping()
            ws.abort()
            with pytest.raises(ConnectionClosed):
                await lost

    run(main())


def test_a_mute_peer_is_noticed(run: Run, connect: Connect) -> None:
    def mute(sock: socket.socket) -> None:
        while sock.recv(4096):
            pass

    with raw_server(mute) as url:

        async def main() -> None:
            async with connect(url, ping_interval_s=0.05, ping_timeout_s=0.1) as ws:
                with pytest.raises(ConnectionLost) as caught:
                    await ws.recv()
                assert caught.value.name == "HFT_E_CONN_IDLE_TIMEOUT"

        run(main())


@pytest.mark.parametrize("segments", [1, 3])
def test_a_message_is_acted_on_before_what_came_behind_it(run: Run, connect: Connect, segments: int) -> None:
    """Two messages and a frame that breaks the rules: both are echoed, then comes the close frame."""
    answers = bytearray()

    def break_the_rules(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        frames = [b"\x81\x01a", b"\x81\x01b", b"\x83\x00"]
        for segment in frames if segments == 3 else [b"".join(frames)]:
            sock.sendall(segment)
        with contextlib.suppress(OSError):
            while data := sock.recv(4096):
                answers.extend(data)

    with raw_server(break_the_rules) as url:

        async def main() -> None:
            async with connect(url, close_timeout_s=0.1) as ws:
                with pytest.raises(RemoteProtocolError, match="opcode"):
                    await echo_all(ws)

        run(main())
    frames = FrameParser("server").feed(bytes(answers))
    assert [frame.data for frame in frames[:2]] == [b"a", b"b"]
    assert frames[2].close_code == 1002


def test_an_end_that_lies_there_is_not_slept_through(run: Run, connect: Connect) -> None:
    """Whoever begins to wait for a message finds the end of his connection among what came for several."""
    message, end = threading.Event(), threading.Event()

    def say(sock: socket.socket) -> None:
        message.wait(WAIT_S)
        sock.sendall(b"\x81\x01a")
        end.wait(WAIT_S)

    def leave(_sock: socket.socket) -> None:
        end.wait(WAIT_S)

    with raw_server(say) as first_url, raw_server(leave) as second_url:

        async def main() -> None:
            async with connect(first_url) as first, connect(second_url) as second:
                await asyncio.sleep(0.05)
                for event in (message, end):  # both come while the loop is away, in this order
                    event.set()
                    time.sleep(0.05)
                assert await first.recv() == "a"
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(WAIT_S / 4):
                        await second.recv()

        run(main())


def test_closing_is_orderly_and_idempotent(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        ws = await connect(own_server.url("told"))
        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0.01)
        with pytest.raises(LocalProtocolError):
            await ws.close(1006)
        with pytest.raises(LocalProtocolError):
            await ws.close(1000, "x" * 124)
        assert ws.is_open
        await asyncio.gather(ws.close(3000, "bye"), ws.close(), ws.wait_closed())
        await ws.close()
        with pytest.raises(ConnectionClosed):
            await waiting
        assert (ws.close_code, ws.error, ws.is_open) == (1000, None, False)
        await asyncio.to_thread(own_server.wait_for, "close /told")
        session = own_server.sessions[0]
        assert (session.close_code, session.close_reason) == (3000, "bye")

    run(main())


def test_what_came_before_closing_can_be_taken(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        ws = await connect(server.url("count?to=5"))
        await until(lambda: not ws.is_open)
        await ws.close()
        assert len([message async for message in ws]) == 5
        flooded = await connect(server.url("count?to=100000&size=1000"), recv_queue=16384)
        await asyncio.sleep(0.05)
        await asyncio.wait_for(flooded.close(), 5)
        assert len([message async for message in flooded]) < 1000

    run(main())


def test_the_last_connection_closes_the_reactor(run: Run, connect: Connect, server: WebSocketServer) -> None:
    """One reactor while there are connections, none between."""

    def rings() -> int:
        targets = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
        return sum(target in ("anon_inode:[io_uring]", "anon_inode:[eventpoll]") for target in targets)

    async def main() -> None:
        before = rings()
        for _ in range(3):
            async with connect(server.url("echo")) as one, connect(server.url("echo")) as two:
                assert rings() == before + 1
                await one.send("x")
                await two.send("y")
                assert (await one.recv(), await two.recv()) == ("x", "y")
            await until(lambda: rings() == before)

    run(main())


def test_a_loop_that_ends_first(backend: str, server: WebSocketServer) -> None:
    kept: list[aio.ClientConnection] = []

    async def main() -> None:
        kept.append(await aio.connect(server.url("echo"), backend=backend, spin_us=FOREVER))
        asyncio.create_task(kept[0].recv())  # noqa: RUF006  it goes with the loop
        await asyncio.sleep(0.01)

    for _ in range(3):
        asyncio.run(main())
        kept.clear()
        gc.collect()

    async def again() -> None:
        async with aio.connect(server.url("echo"), backend=backend) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"

    asyncio.run(again())


def test_ctrl_c(backend: str, server: WebSocketServer) -> None:
    async def main() -> None:
        async with aio.connect(server.url("echo"), backend=backend, spin_us=FOREVER) as ws:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            await ws.recv()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert time.monotonic() - began < 5
