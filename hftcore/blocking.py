"""WebSocket connections whose calls wait: no event loop, no thread of their own.

with connect("wss://stream.binance.com/ws/btcusdt@bookTicker") as ws:
    print(ws.recv(timeout_s=1.0))
"""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Sequence
from typing import Literal, Unpack

from hftcore._blocking import ClientConnection
from hftcore._connector import closed_on_error, connector
from hftcore._request import AppPing, Deflate, Options, Request, check_reactor
from hftcore.errors import HandshakeError, HftError
from hftcore.reconnect import Reconnect, Schedule

__all__ = ["AppPing", "ClientConnection", "Deflate", "Reconnect", "connect"]


def connect(
    url: str | Sequence[str],
    *,
    spin_us: float = 0.0,
    backend: Literal["auto", "io_uring", "epoll"] = "auto",
    **options: Unpack[Options],
) -> ClientConnection:
    """Opens a connection; ``with`` closes it.

    url: ``wss://HOST[:PORT]/PATH``, ``ws``, ``ws+unix``, ``wss+unix``; with ``reconnect`` also several. spin_us: how
    long a call that waits polls before it sleeps; ``float("inf")``: it only polls. backend: "io_uring", "epoll", or
    "auto". options: see ``hftcore._request.Request``; with ``reconnect`` attempts go on as it says until one succeeds,
    and a connection that is lost later stays lost.

    Raises ConfigError, OSError, ConnectionLost, TLSError, HandshakeError.
    """
    request = Request.parse(url, **options)
    spin_us = check_reactor(backend, spin_us)
    if request.reconnect is None:
        return _open(request, (0,), backend, spin_us)
    schedule = Schedule(request.reconnect, len(request.endpoints))
    attempt = schedule.begin()
    while True:
        time.sleep(attempt.delay_s)
        try:
            return _open(request, attempt.endpoints, backend, spin_us)
        except (HftError, OSError) as error:
            following = schedule.failed(error)
            if following is None:
                raise
            attempt = following


def _open(request: Request, endpoints: tuple[int, ...], backend: str, spin_us: float) -> ClientConnection:
    """One attempt: a socket, TLS, the upgrade, and as many redirects as are followed."""
    deadline_s = time.monotonic() + request.connect_timeout_s
    while True:
        number, sock = _dial(request, endpoints, deadline_s - time.monotonic())
        endpoint = request.endpoints[number]
        with closed_on_error(sock):
            ws = ClientConnection(request, backend, spin_us)
            ws._attach(sock, endpoint, deadline_s - time.monotonic())
        try:
            ws._opened()
        except HandshakeError as error:
            following = request.redirected_by(endpoint, error)
            if following is None:
                raise
            request, endpoints = following, (0,)
        else:
            return ws


def _dial(request: Request, endpoints: tuple[int, ...], timeout_s: float) -> tuple[int, socket.socket]:
    answers: queue.SimpleQueue[tuple[int, socket.socket | None, BaseException | None]] = queue.SimpleQueue()
    job = connector.submit(
        request, endpoints, lambda number, sock, error: answers.put((number, sock, error)), timeout_s=timeout_s
    )
    try:
        number, sock, error = answers.get()
    except BaseException:  # Ctrl-C
        if not job.cancel() and (late := answers.get()[1]) is not None:
            late.close()
        raise
    if sock is None:
        assert error is not None
        raise error
    return number, sock
