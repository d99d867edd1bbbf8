"""A connection that is replaced by a successor: what it tells meanwhile, and how long the old link lives."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.sync.server import ServerConnection

from hftcore.reactor import Reactor
from hftcore.reconnect import Reconnect
from tests.integration.test_client_hazards import serving
from tests.integration.wsrig import QUIET, WAIT_S, RawPeer, Recorder, run_until, websockets_server


def test_a_connection_tells_of_the_link_in_use(reactor: Reactor) -> None:
    asked, go_on = threading.Event(), threading.Event()
    addresses = []

    def script(listener: socket.socket) -> None:
        with listener.accept()[0] as one:
            addresses.append(one.getpeername())
            peer = RawPeer(one)
            peer.upgrade(extra=b"Sec-WebSocket-Protocol: one\r\n")
            with listener.accept()[0] as two:
                addresses.append(two.getpeername())
                successor = RawPeer(two)
                successor.read_request()
                asked.set()
                assert go_on.wait(WAIT_S)
                successor.upgrade(extra=b"Sec-WebSocket-Protocol: two\r\n")
                peer.read_to_end()
                successor.read_to_end()

    handler = Recorder()
    with serving(script) as port:
        connection = reactor.connect(
            f"ws://127.0.0.1:{port}/", handler, subprotocols=["one", "two"],
            reconnect=Reconnect(max_age_s=0.1, overlap_s=0.0), **QUIET,
        )  # fmt: skip
        run_until(reactor, asked.is_set)
        reactor.poll(0.02)
        assert (connection.local_address, connection.subprotocol) == (addresses[0], "one")
        go_on.set()
        run_until(reactor, lambda: handler.kinds == ["open", "open"])
        assert (connection.local_address, connection.subprotocol) == (addresses[1], "two")
        reactor.close()


def test_an_overlap_is_not_cut_short_by_the_one_before(reactor: Reactor) -> None:
    """Where links are replaced before their predecessors have gone, each goes when the next but one has come."""
    opened: list[ServerConnection] = []
    left_at: dict[int, int] = {}

    def count(connection: ServerConnection, _request: Request) -> None:
        opened.append(connection)  # before the client knows

    def play(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for _ in connection:
                pass
        left_at[opened.index(connection)] = len(opened)

    with websockets_server(play, process_request=count) as port:
        connection = reactor.connect(
            f"ws://127.0.0.1:{port}/", Recorder(), reconnect=Reconnect(max_age_s=0.2, overlap_s=0.7), **QUIET
        )
        run_until(reactor, lambda: 4 in left_at)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert all(left_at[number] >= number + 3 for number in range(5)), left_at


def test_nothing_of_an_overlap_keeps_the_reactor_running(reactor: Reactor) -> None:
    handler = Recorder(on_open=lambda connection: handler.kinds.count("open") == 2 and connection.close())
    with websockets_server() as port:
        policy = Reconnect(max_age_s=0.1, overlap_s=60.0)
        reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=policy, **QUIET)
        watchdog = threading.Timer(WAIT_S, reactor.stop)
        watchdog.start()
        began = time.monotonic()
        reactor.run()
        watchdog.cancel()
        assert time.monotonic() - began < WAIT_S / 2
