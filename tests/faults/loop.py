"""What drivers on asyncio share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.sessions import AT_ONCE, STEP_S, Session, Sessions


def gather(sessions: Sessions, play: Callable[[Session], Awaitable[None]]) -> None:
    """Runs asyncio with AT_ONCE sessions at a time."""

    async def one_after_the_other() -> None:
        while session := await asyncio.to_thread(sessions.begin):
            async with asyncio.timeout(4 * STEP_S):
                await play(session)
            await asyncio.to_thread(sessions.end, session)

    async def drive() -> None:
        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

    asyncio.run(drive())


async def converse(session: Session, ws: Any) -> None:
    """Sends and receives on a connection of an asyncio kind."""
    messages, sent = session.plan.messages, 0
    while not session.complete:
        while sent < min(len(messages), len(session.received) + session.plan.window):
            await ws.send(messages[sent])
            sent += 1
        try:
            session.received.append(await asyncio.wait_for(ws.recv(), session.wait_s))
        except TimeoutError:
            session.gave_up = True
            return
