"""The asyncio face, connecting: options, errors, TLS, redirects, and again and again."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from hftcore import aio
from hftcore.errors import (
    ConfigError,
    ConnectionLost,
    HandshakeError,
    TLSError,
)
from hftcore.reconnect import Reconnect
from tests.integration import rig
from tests.integration.aio_rig import (
    Connect,
    Run,
    until,
)
from tests.integration.ws_server import WebSocketServer, serving

# ---- connecting ----


def test_options_are_checked_at_once() -> None:
    for wrong in (
        {"backend": "kqueue"},
        {"spin_us": -1.0},
        {"spin_us": float("nan")},
        {"spin_us": "x"},
        {"unknown": 1},
    ):
        with pytest.raises(ConfigError):
            aio.connect("ws://127.0.0.1:1", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        aio.connect("http://127.0.0.1:1")


def test_the_request_and_the_answer(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        url = own_server.url("echo").replace("ws://", "ws://user:pass@")
        async with connect(url, headers={"X-Key": "v"}, compression=aio.Deflate(min_size=0)) as ws:
            assert "pass" not in ws.url + repr(ws)
            assert dict(ws.response_headers)["Upgrade"] == "websocket"
            assert ws.extensions is not None
            assert ws.extensions.startswith("permessage-deflate")
            assert ws.remote_address == ("127.0.0.1", own_server.port)
            assert ws.local_address[0] == "127.0.0.1"
            assert ws.backend in ("io_uring", "epoll")
            assert ws.tls_version is None
            await ws.send("compress me " * 1000)
            assert await ws.recv() == "compress me " * 1000
            assert ws.stats().bytes_in < 2000
        (request,) = own_server.requests
        assert request.headers["X-Key"] == "v"
        assert request.headers["User-Agent"] == "hftcore"
        assert request.headers["Authorization"] == "Basic dXNlcjpwYXNz"

    run(main())


def test_subprotocols(run: Run, connect: Connect) -> None:
    with serving(subprotocols=["two", "one"]) as server:

        async def main() -> None:
            async with connect(server.url("echo"), subprotocols=["one", "three"]) as ws:
                assert ws.subprotocol == "one"

        run(main())


def test_tls(run: Run, connect: Connect, trust: rig.Trust) -> None:
    with serving(context=trust.context) as server:

        async def main() -> None:
            async with connect(server.url("echo"), tls=rig_context(trust)) as ws:
                assert ws.tls_version == "TLSv1.3"
                assert ws.tls_cipher is not None
                await ws.send("x" * 200_000)
                assert await ws.recv() == "x" * 200_000
            with pytest.raises(TLSError, match=r"authority|self-signed"):
                await connect(server.url("echo"))

        run(main())


def rig_context(trust: rig.Trust) -> Any:
    from hftcore.tls import TLSContext

    return TLSContext(ca_file=trust.ca_file)


def test_a_refused_upgrade(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        with pytest.raises(HandshakeError) as caught:
            await connect(server.url("refuse?status=403"))
        assert caught.value.status == 403
        assert caught.value.body == b"go away\n"
        with pytest.raises(HandshakeError) as caught:
            await connect(server.url("redirect?to=/echo"))
        assert caught.value.status == 302

    run(main())


def test_redirects(run: Run, connect: Connect, server: WebSocketServer) -> None:
    async def main() -> None:
        async with connect(server.url("redirect?to=/redirect%3Fto=/echo"), max_redirects=2) as ws:
            assert ws.url == server.url("echo")
            await ws.send("x")
            assert await ws.recv() == "x"
        with pytest.raises(HandshakeError):
            await connect(server.url("redirect?to=/redirect%3Fto=/echo"), max_redirects=1)

    run(main())


def test_one_time_out_covers_the_upgrade(run: Run, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"

        async def main() -> None:
            began = time.monotonic()
            with pytest.raises(ConnectionLost) as caught:
                await connect(url, connect_timeout_s=0.2)
            assert caught.value.name == "HFT_E_CONN_HANDSHAKE_TIMEOUT"
            assert 0.15 < time.monotonic() - began < 2
            with pytest.raises(ConnectionRefusedError):
                await connect("ws://127.0.0.1:1/")

        run(main())


def test_unix_sockets(run: Run, connect: Connect, tmp_path: Path) -> None:
    with serving(path=tmp_path / "s") as server:

        async def main() -> None:
            async with connect(server.url("echo")) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

        run(main())


# ---- connecting again ----


def test_connections_one_after_the_other(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        seen = []
        policy = Reconnect(initial_s=0.01, stable_s=0)
        async for ws in connect(own_server.url("count?to=2"), reconnect=policy):
            seen.append([message async for message in ws])
            if len(seen) == 4:
                break
        assert [len(messages) for messages in seen] == [2] * 4

    run(main())
    assert own_server.events.count("open /count") == 4


def test_a_body_may_leave_an_open_connection(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        rounds = 0
        async for ws in connect(own_server.url("echo"), reconnect=Reconnect(initial_s=0.001, stable_s=0)):
            rounds += 1
            await ws.send("x")
            assert await ws.recv() == "x"
            if rounds == 3:
                break
        await until(lambda: own_server.events.count("close /echo") == 3)

    run(main())


def test_attempts_go_on_until_there_is_a_server(run: Run, connect: Connect, server: WebSocketServer) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = f"ws://127.0.0.1:{closed.getsockname()[1]}/"

        async def main() -> None:
            urls = [refusing, server.url("refuse?status=503"), server.url("echo")]
            async with connect(urls, reconnect=Reconnect(initial_s=0.01)) as ws:
                assert ws.url == server.url("echo")
            async with connect(urls[::2], reconnect=Reconnect(race=True)) as ws:
                assert ws.url == server.url("echo")
            with pytest.raises(ConnectionRefusedError):
                await connect(refusing, reconnect=Reconnect(initial_s=0.01, attempts=3))
            refused = aiter(connect(server.url("refuse?status=403"), reconnect=Reconnect(initial_s=0.01)))
            with pytest.raises(HandshakeError):
                await anext(refused)

        run(main())


def test_the_successor_is_open_before_the_old_one_goes(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        rounds = 0
        async for ws in connect(own_server.url("told"), reconnect=Reconnect(max_age_s=0.15)):
            rounds += 1
            if rounds == 3:
                break
            assert [message async for message in ws] == []

    run(main())
    assert own_server.events[:4] == ["open /told", "open /told", "close /told", "open /told"]


def test_without_overlap_the_old_one_goes_first(run: Run, connect: Connect, own_server: WebSocketServer) -> None:
    async def main() -> None:
        rounds = 0
        async for ws in connect(own_server.url("told"), reconnect=Reconnect(max_age_s=0.1, overlap_s=None)):
            rounds += 1
            if rounds == 3:
                break
            assert [message async for message in ws] == []

    run(main())
    assert own_server.events[:4] == ["open /told", "close /told"] * 2
