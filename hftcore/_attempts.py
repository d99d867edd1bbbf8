"""How a connection of a reactor comes about, and comes about again: dialling, redirects, the reconnect policy. Cold."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hftcore._connector import Job, connect_timed_out, connector
from hftcore._request import Request
from hftcore.endpoints import Endpoint
from hftcore.errors import HandshakeError, HftError
from hftcore.reconnect import Attempt, Schedule

if TYPE_CHECKING:
    from hftcore.reactor import Connection, Timer

__all__ = ["Attempts", "ConnectionStats"]


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Counters of a connection since it was last opened; times in ns, 0 = not known.

    bytes_in, bytes_out: on the wire, TLS and the upgrade included. payload_in, payload_out: of messages, decompressed.
    rtt_*: of protocol pings, app_rtt_*: of the application's; smoothed as TCP does (RFC 6298). sends_refused: for want
    of room in the send queue; send_queue: bytes in it now. opened_ns, last_recv_ns: time.monotonic_ns().
    """

    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    payload_in: int
    payload_out: int
    pings: int
    pongs: int
    rtt_last_ns: int
    rtt_min_ns: int
    rtt_smoothed_ns: int
    app_pings: int
    app_pongs: int
    app_rtt_last_ns: int
    app_rtt_min_ns: int
    app_rtt_smoothed_ns: int
    sends_refused: int
    send_queue: int
    opened_ns: int
    last_recv_ns: int


class Attempts:
    """What is tried for one connection, one attempt at a time; everything happens on the reactor's thread.

    An attempt is a socket, then TLS and the upgrade, then as many redirects as the request follows;
    ``connect_timeout_s`` is for all of that.
    """

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._reactor = connection.reactor
        self._request = request
        self._following = request  # after redirects, what they led to
        self._schedule = None if request.reconnect is None else Schedule(request.reconnect, len(request.endpoints))
        self._timer: Timer | None = None
        self._replacement: Timer | None = None
        self._job: Job | None = None
        self._endpoint = 0
        self._deadline_s = 0.0
        self._over = False

    @property
    def under_way(self) -> bool:
        """Whether an attempt is planned or made."""
        return self._timer is not None or self._job is not None or self._connection._is_pending()

    @property
    def overlap_s(self) -> float:
        """How long an old connection still runs once its successor is open."""
        policy = self._request.reconnect
        return (policy.overlap_s if policy is not None else None) or 0.0

    def begin(self) -> None:
        """Makes the first attempt, or one for a successor."""
        self._go(Attempt(0.0, (0,)) if self._schedule is None else self._schedule.begin())

    def cancel(self) -> None:
        """Ends whatever is under way, for good."""
        self._over = True
        for timer in (self._timer, self._replacement):
            if timer is not None:
                timer.cancel()
        if self._job is not None:
            self._job.cancel()
        self._timer = self._replacement = self._job = None

    def opened(self) -> None:
        """The upgrade is done."""
        if self._schedule is None:
            return
        self._schedule.opened(self._endpoint, time.monotonic())
        at_s = self._schedule.replace_at_s
        if self._replacement is not None:
            self._replacement.cancel()
        self._replacement = None if at_s is None else self._reactor.call_later(at_s - time.monotonic(), self._replace)

    def refused(self, error: Exception) -> None:
        """The link under way closed before it was open: follows a redirect, or tries again, or that was it."""
        if isinstance(error, HandshakeError):
            try:
                target = self._following.redirected_by(self._following_endpoint(), error)
            except HftError as problem:
                self._failed(problem)
                return
            if target is not None:
                self._dial(target, (0,))
                return
        self._failed(error)

    def lost(self, error: Exception | None) -> None:
        """The open link closed."""
        schedule = self._schedule
        if schedule is None or self._connection._is_closing():
            self._connection._finish(error)
            return
        if self._replacement is not None:
            self._replacement.cancel()
        if self.under_way:  # its successor is on its way already
            self._connection._interrupted(error)
            return
        self._next(error, lambda: schedule.lost(error, time.monotonic()))

    # ---- one attempt ----

    def _following_endpoint(self) -> Endpoint:
        return self._following.endpoints[self._endpoint if self._following is self._request else 0]

    def _failed(self, error: Exception) -> None:
        schedule = self._schedule
        self._next(error, lambda: None if schedule is None else schedule.failed(error))

    def _next(self, error: Exception | None, decide: Callable[[], Attempt | None]) -> None:
        attempt = None
        try:
            attempt = decide()
        finally:  # what retry_if raises is final
            if attempt is None and not self._connection.is_open:  # else the successor failed, and the old one goes on
                self._connection._finish(error)
        if attempt is None:
            return
        try:
            if not self._connection.is_open:
                self._connection._interrupted(error)
        finally:  # whatever on_lost raises
            if not self._over:
                self._go(attempt)

    def _go(self, attempt: Attempt) -> None:
        if attempt.delay_s > 0:
            self._timer = self._reactor.call_later(attempt.delay_s, self._start, attempt.endpoints)
        else:
            self._start(attempt.endpoints)

    def _start(self, endpoints: Sequence[int]) -> None:
        self._timer = None
        self._deadline_s = time.monotonic() + self._request.connect_timeout_s
        self._dial(self._request, endpoints)

    def _dial(self, request: Request, endpoints: Sequence[int]) -> None:
        left_s = max(0.001, self._deadline_s - time.monotonic())
        self._following = request

        def dialled(number: int, sock: socket.socket | None, error: BaseException | None) -> None:
            try:
                self._reactor.call_soon_threadsafe(self._dialled, number, sock, error)
            except HftError:  # it was closed meanwhile
                if sock is not None:
                    sock.close()

        self._job = connector.submit(replace(request, connect_timeout_s=left_s), endpoints, dialled)

    def _dialled(self, number: int, sock: socket.socket | None, error: Exception | None) -> None:
        self._job = None
        if self._over:
            if sock is not None:
                sock.close()
            return
        if sock is None:
            assert error is not None
            self._failed(error)
            return
        if self._following is self._request:
            self._endpoint = number
        endpoint = self._following.endpoints[number]
        left_s = self._deadline_s - time.monotonic()
        try:
            if left_s <= 0:
                raise connect_timed_out(self._request, endpoint)
            self._connection._attach(sock, self._following, endpoint, left_s)
        except (HftError, OSError) as problem:
            sock.close()
            self._failed(problem)

    # ---- replacing an old connection ----

    def _replace(self) -> None:
        assert self._schedule is not None
        assert self._request.reconnect is not None
        self._replacement = None
        if self._request.reconnect.overlap_s is None:
            self._connection._leave()
        self._go(self._schedule.begin())
