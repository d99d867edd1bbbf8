"""The asyncio face keeps messages in the order of the calls, and tells each ping its own round trip."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hftcore import aio
from hftcore.orders import OrderTemplate
from hftcore.venues import Slot
from tests.integration.aio_rig import Connect, Run
from tests.integration.ws_server import WebSocketServer

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
