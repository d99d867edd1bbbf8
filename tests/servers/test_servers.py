"""The client works with servers that we did not write, on every face and backend."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hftcore.engine import io_uring_error
from hftcore.errors import ConnectionClosed
from hftcore.reactor import Deflate
from hftcore.tls import TLSContext
from runner.sim.certificates import Authority
from tests.servers import far_ends
from tests.servers.clients import CLIENTS, Client
from tests.servers.far_ends import MESSAGE_MAX, SUBPROTOCOL, FarEnd, pattern

BACKENDS = ["io_uring", "epoll"]
SERVERS: dict[str, Callable[[Authority], FarEnd]] = {
    "websockets": lambda _: far_ends.Websockets(None),
    "websockets-tls": lambda authority: far_ends.Websockets(authority.server_context()),
    "aiohttp-tls": lambda authority: far_ends.Aiohttp(authority.server_context()),
    "picows": lambda _: far_ends.Picows(None),
    "nginx": lambda authority: far_ends.Nginx(authority.server_pem()),
}
Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[FarEnd]:
    if request.param == "nginx" and far_ends.Nginx.program() is None:
        pytest.skip("no nginx here; Debian's package nginx-light has one")
    with SERVERS[request.param](authority) as far_end:
        yield far_end


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "io_uring" and (reason := io_uring_error()):
        pytest.skip(f"io_uring: {reason}")
    return str(request.param)


@pytest.fixture(params=CLIENTS)
def connect(
    request: pytest.FixtureRequest, backend: str, server: FarEnd, authority: Authority, tmp_path: Path
) -> Iterator[Connect]:
    """Connects a face to the server; afterwards no descriptor may be left."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)

    def start(**options: Any) -> Client:
        tls = TLSContext(ca_file=str(ca_file)) if server.url.startswith("wss") else None
        return CLIENTS[request.param](server.url, backend, **{"tls": tls, **options})

    start().close(1000, "")  # the thread that opens sockets has descriptors, too, and stays
    until(lambda: bool(server.closed))
    server.closed.clear()
    before = len(os.listdir("/proc/self/fd"))
    yield start
    gc.collect()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def close_of(client: Client) -> ConnectionClosed:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv()
    with contextlib.suppress(ConnectionClosed):
        client.close(1000, "")
    return caught.value


def test_echo_and_close_by_us(connect: Connect, server: FarEnd) -> None:
    client = connect()
    messages: list[str | bytes] = ["hello", "", b"", "äöü €😀", b"\x00\xff" * 50]
    messages += [pattern(size) for size in (125, 126, 127, 65535, 65536, 300_000)]
    messages += [pattern(size).decode() for size in (126, 65536)]
    for message in messages:
        client.send(message)
    assert [client.recv() for _ in messages] == messages
    began = time.monotonic()
    client.close(3999, "done")
    assert time.monotonic() - began < 2  # the time-out is 5 s
    with pytest.raises(ConnectionClosed):
        client.send("too late")
    until(lambda: bool({(3999, "done"), (3999, "")} & set(server.closed)))  # aiohttp does not tell the reason


def test_close_by_the_server(connect: Connect) -> None:
    client = connect()
    client.send("?close 4001 bye")
    error = close_of(client)
    assert (error.close_code, error.reason) == (4001, "bye")
    with pytest.raises(ConnectionClosed):
        client.send("too late")


def test_pings_both_ways(connect: Connect) -> None:
    client = connect()
    client.send("?ping")
    assert client.recv() == "pong"
    for _ in range(3):
        assert 0 < client.ping() < 5
    client.close(1000, "")


def test_subprotocol(connect: Connect) -> None:
    client = connect(subprotocols=["v1.feed", SUBPROTOCOL])
    assert client.connection.subprotocol == SUBPROTOCOL
    client.close(1000, "")
    client = connect()
    assert client.connection.subprotocol is None
    client.close(1000, "")


def test_fragments(connect: Connect, server: FarEnd) -> None:
    if not server.fragments:
        pytest.skip("its messages are always of one frame")
    client = connect()
    for number, size in ((2, 2), (5, 1000), (100, 300_000), (1000, 4000)):
        client.send(f"?fragments {number} {size}")
        assert client.recv() == pattern(size)
    client.close(1000, "")


def test_16_mib(connect: Connect) -> None:
    client = connect(max_message=MESSAGE_MAX, send_queue=MESSAGE_MAX)
    message = pattern(16 << 20)
    client.send(message)
    assert client.recv() == message
    client.send("still there")
    assert client.recv() == "still there"
    client.close(1000, "")


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed(connect: Connect, server: FarEnd, takeover: bool) -> None:
    compression = Deflate(client_no_context_takeover=not takeover, server_no_context_takeover=not takeover)
    client = connect(compression=compression)
    messages: list[str | bytes] = ["abc" * 1000, "x", pattern(500_000), "", os.urandom(70_000), "abc" * 1000]
    for message in messages:
        client.send(message)
        assert client.recv() == message
    stats = client.connection.stats()
    assert (stats.bytes_in < stats.payload_in / 2) == server.compresses
    assert (stats.bytes_out < stats.payload_out / 2) == server.compresses
    client.close(1000, "")
