"""The asyncio face keeps messages in the order of the calls, and tells each ping its own round trip."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest

from hftcore import aio
from hftcore.orders import OrderTemplate
from hftcore.venues import Slot
from tests.integration.aio_rig import Connect, Run
from tests.integration.ws_server import WAIT_S, WebSocketServer
from tests.integration.wsrig import QUIET, RawPeer, raw_server

SMALL: dict[str, Any] = {"send_queue": 65536, "send_buffer": 8192, "ping_interval_s": 0}


def is_sent_at_once(ws: aio.ClientConnection, data: bytes) -> bool:
    before = ws.stats().messages_out
    sending = ws.send(data)
    sent = ws.stats().messages_out != before
    sending.close()
    return sent


def fill(ws: aio.ClientConnection) -> int:
    """Sends until the queue has no room for another such message; how many it took."""
    return next(number for number in range(1000) if not is_sent_at_once(ws, b"f" * 30_000))


def test_a_small_message_does_not_overtake(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    template = OrderTemplate("${n}", slots={"n": Slot("uint")})
    data = bytearray(b"5")

    async def main() -> int:
        async with connect(own_server.url("hold"), **SMALL) as ws:
            filled = fill(ws)
            sends = [ws.send(b"1" * 30_000), ws.send(b"2"), ws.send_text(b"3"), ws.send_template(template, n=4)]
            sends += [ws.send(data), ws.send("6")]
            data[:] = b"x"
            waiting = asyncio.gather(*sends)
            await asyncio.sleep(0.02)
            own_server.open_gate()
            await waiting
            return filled

    filled = run(main())
    own_server.wait_for("close /hold")
    assert [head for _, head in own_server.received[filled:]] == [b"1", b"2", "3", "4", b"5", "6"]


@pytest.mark.parametrize("fate", ["dropped", "closed", "cancelled before", "cancelled while"])
def test_a_send_that_was_given_up_holds_up_nobody(
    run: Run, connect: Connect, own_server: WebSocketServer, fate: str
) -> None:
    """Whatever becomes of one that waits for room, later ones leave at once again."""
    kept: list[Any] = []

    async def main() -> None:
        async with connect(own_server.url("hold"), **SMALL) as ws:
            fill(ws)
            sending = ws.send(b"1" * 30_000)
            assert not is_sent_at_once(ws, b"x")
            if fate == "closed":
                sending.close()
                kept.append(sending)
            elif fate.startswith("cancelled"):
                task = asyncio.ensure_future(sending)
                if fate == "cancelled while":
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await task
                kept.extend((task, sending, caught.value))
            elif fate == "dropped":
                with pytest.warns(RuntimeWarning, match="never awaited"):
                    del sending
            assert is_sent_at_once(ws, b"x")
            own_server.open_gate()

    run(main())


def read_ping(peer: RawPeer) -> bytes:
    opcode, payload = peer.read_frame()
    assert opcode == 9
    return payload


def test_each_ping_has_its_own_round_trip(run: Run, connect: Connect) -> None:
    """And what answers none of them (RFC 6455 section 5.5.3: an unsolicited pong) ends none."""
    go_on = [threading.Event() for _ in range(4)]

    def answer(peer: RawPeer) -> None:
        peer.upgrade()
        first, second, third = (read_ping(peer) for _ in range(3))
        for event, payloads in zip(
            go_on, [[b"", b"unasked", bytes(8), b"\xff" * 8], [first], [first], [third]], strict=True
        ):
            assert event.wait(WAIT_S)
            for payload in payloads:
                peer.send(10, payload)
            peer.send(1, b"done")
        assert second != first
        peer.read_to_end()

    async def main(port: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/", **QUIET) as ws:
            began = time.monotonic()
            pings = [ws.ping()]
            await asyncio.sleep(0.1)
            pings += [ws.ping(), ws.ping()]
            for event, answered in zip(go_on, (0, 1, 1, 3), strict=True):
                event.set()
                assert await ws.recv() == "done"
                await asyncio.sleep(0)
                assert [ping.done() for ping in pings] == [number < answered for number in range(3)]
            rtts = [await ping for ping in pings]
            assert 0.1 <= rtts[0] <= time.monotonic() - began
            assert rtts[2] < rtts[1] < rtts[2] + 0.05
            assert rtts[2] == ws.latency
            ws.abort()

    with raw_server(answer) as port:
        run(main(port))


def test_the_answer_to_a_keep_alive_is_no_other_pings(run: Run, connect: Connect) -> None:
    answer_late = threading.Event()

    def answer(peer: RawPeer) -> None:
        peer.upgrade()
        keep_alive = read_ping(peer)
        peer.send(1, b"asked")
        ours = read_ping(peer)
        peer.send(10, keep_alive)
        peer.send(1, b"kept alive")
        assert answer_late.wait(WAIT_S)
        peer.send(10, ours)
        with contextlib.suppress(ConnectionError):
            while True:  # a slow machine's is another keep-alive
                peer.send(10, read_ping(peer))

    async def main(port: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/", ping_interval_s=0.3, ping_timeout_s=WAIT_S) as ws:
            assert await ws.recv() == "asked"
            ping = ws.ping()
            assert await ws.recv() == "kept alive"
            await asyncio.sleep(0.01)
            assert not ping.done()
            answer_late.set()
            assert 0.01 <= await ping < WAIT_S
            ws.abort()

    with raw_server(answer) as port:
        run(main(port))
