"""A driver for each face of the client: plays sessions, several at once, until there are no more."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from hftcore import aio, blocking
from hftcore.errors import ConnectionClosed, HftError, LimitExceeded
from hftcore.reactor import Connection, Deflate, Handler, Message, Reactor
from hftcore.tls import TLSContext
from tests.faults import loop
from tests.faults.sessions import AT_ONCE, Session, Sessions

SEND_QUEUE = 2 << 20  # the largest message fits, a window of such does not


def options_of(session: Session, tls: TLSContext) -> dict[str, Any]:
    """A connection's options."""
    return session.times | {
        "tls": tls if session.plan.secure else None,
        "compression": Deflate() if session.plan.compress else None,
        "send_queue": SEND_QUEUE,
    }


class _Player(Handler):
    """Face (a): one session."""

    def __init__(self, driver: _HandlerDriver, session: Session) -> None:
        self.driver = driver
        self.session = session
        self.sent = 0
        self.connection = driver.reactor.connect(session.url, self, **options_of(session, driver.tls))
        self.timer = driver.reactor.call_later(session.wait_s, self.give_up)

    def give_up(self) -> None:
        self.session.gave_up = True
        self.connection.close()

    def on_open(self, connection: Connection) -> None:
        self.on_writable(connection)

    def on_message(self, connection: Connection, message: Message) -> None:
        session = self.session
        if session.gave_up:
            return
        session.received.append(message.text if message.is_text else message.data)
        self.timer.cancel()
        if session.complete:
            connection.close()
        else:
            self.timer = self.driver.reactor.call_later(session.wait_s, self.give_up)
            self.on_writable(connection)

    def on_writable(self, connection: Connection) -> None:
        messages = self.session.plan.messages
        with contextlib.suppress(LimitExceeded, ConnectionClosed):  # this, or on_close, is called
            while self.sent < min(len(messages), len(self.session.received) + self.session.plan.window):
                connection.send(messages[self.sent])
                self.sent += 1

    def on_close(self, _connection: Connection, error: HftError | None) -> None:
        self.timer.cancel()
        self.session.error = error
        self.driver.over(self.session)


class _HandlerDriver:
    """One reactor, and AT_ONCE sessions on it; a new one where one has ended."""

    def __init__(self, sessions: Sessions, backend: str, ca_file: str) -> None:
        self.sessions = sessions
        self.tls = TLSContext(ca_file=ca_file)
        self.reactor = Reactor(backend=backend, max_connections=AT_ONCE + 2)
        self.playing = 0

    def begin(self) -> None:
        if session := self.sessions.begin():
            self.playing += 1
            _Player(self, session)

    def over(self, session: Session) -> None:
        self.sessions.end(session)
        self.playing -= 1
        self.begin()
        if not self.playing:
            self.reactor.stop()


def drive_handler(sessions: Sessions, backend: str, ca_file: str) -> None:
    """Face (a)."""
    driver = _HandlerDriver(sessions, backend, ca_file)
    for _ in range(AT_ONCE):
        driver.begin()
    driver.reactor.run()
    driver.reactor.close()


def drive_asyncio(sessions: Sessions, backend: str, ca_file: str) -> None:
    """Face (b)."""
    tls = TLSContext(ca_file=ca_file)

    async def play(session: Session) -> None:
        try:
            async with aio.connect(session.url, backend=backend, **options_of(session, tls)) as ws:
                await loop.converse(session, ws)
        except HftError as error:
            session.error = error

    loop.gather(sessions, play)


def drive_blocking(sessions: Sessions, backend: str, ca_file: str) -> None:
    """Face (c): a thread for each session that is being played."""
    tls = TLSContext(ca_file=ca_file)

    def converse(session: Session, ws: blocking.ClientConnection) -> None:
        messages, sent = session.plan.messages, 0
        while not session.complete:
            while sent < min(len(messages), len(session.received) + session.plan.window):
                ws.send(messages[sent])
                sent += 1
            try:
                session.received.append(ws.recv(timeout_s=session.wait_s))
            except TimeoutError:
                session.gave_up = True
                return

    def play() -> None:
        while session := sessions.begin():
            try:
                with blocking.connect(session.url, backend=backend, **options_of(session, tls)) as ws:
                    converse(session, ws)
            except HftError as error:
                session.error = error
            sessions.end(session)

    threads = [threading.Thread(target=play) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


DRIVERS = {"handler": drive_handler, "asyncio": drive_asyncio, "blocking": drive_blocking}
