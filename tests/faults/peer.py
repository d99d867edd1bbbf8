"""A driver for a peer, `websockets`, its exceptions taken for ours: shows that the plans and the judge are sound."""

from __future__ import annotations

import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, WebSocketException

from hftcore.errors import ConnectionLost, RemoteProtocolError, TLSError
from tests.faults import loop
from tests.faults.sessions import Session, Sessions


def drive_websockets(sessions: Sessions, _backend: str, ca_file: str) -> None:
    """Over asyncio."""
    context = ssl.create_default_context(cafile=ca_file)

    async def play(session: Session) -> None:
        times = session.times
        try:
            async with connect(
                session.url, ssl=context if session.plan.secure else None, max_size=None,
                open_timeout=times["connect_timeout_s"], ping_interval=times["ping_interval_s"],
                ping_timeout=times["ping_timeout_s"], close_timeout=times["close_timeout_s"],
                compression="deflate" if session.plan.compress else None,
            ) as ws:  # fmt: skip
                await loop.converse(session, ws)
        except (InvalidMessage, UnicodeError) as error:
            lost = isinstance(error.__cause__, EOFError | OSError)
            session.error = ConnectionLost(repr(error)) if lost else RemoteProtocolError(repr(error))
        except ssl.SSLError as error:
            session.error = TLSError(repr(error))
        except (WebSocketException, OSError, TimeoutError) as error:
            session.error = ConnectionLost(repr(error))

    loop.gather(sessions, play)
