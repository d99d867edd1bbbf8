"""ws and wss through HTTP and SOCKS5 proxies, by each face that dials."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from hftcore import HftError, aio, blocking
from hftcore.tls import TLSContext
from tests.integration import rig
from tests.integration.proxy_server import ProxyServer
from tests.integration.ws_server import WebSocketServer, serving


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyServer]:
    server = ProxyServer("user:pass")
    yield server
    server.close()


@pytest.fixture(scope="module", params=["ws", "wss"])
def server(request: pytest.FixtureRequest, trust: rig.Trust) -> Iterator[WebSocketServer]:
    with serving(context=trust.context if request.param == "wss" else None) as server:
        yield server


@pytest.fixture
def options(backend: str, server: WebSocketServer, trust: rig.Trust) -> dict[str, Any]:
    tls = {"tls": TLSContext(ca_file=trust.ca_file)} if server.url("").startswith("wss") else {}
    # pproxy remembers for the whole process which addresses it let in; other tests want it not to know theirs.
    return {"backend": backend, "local_address": "127.0.3.1", **tls}


async def by_asyncio(url: str, **options: Any) -> object:
    async with aio.connect(url, **options) as ws:
        await ws.send("x" * 50_000)
        assert len(await ws.recv()) == 50_000
        return ws.remote_address


def by_blocking(url: str, **options: Any) -> object:
    with blocking.connect(url, **options) as ws:
        ws.send("x" * 50_000)
        assert len(ws.recv()) == 50_000
        return ws.remote_address


FACES = {"asyncio": lambda url, **options: asyncio.run(by_asyncio(url, **options)), "blocking": by_blocking}


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
@pytest.mark.parametrize("face", FACES)
def test_a_conversation_through_a_proxy(
    face: str, scheme: str, options: dict[str, Any], server: WebSocketServer, proxy: ProxyServer
) -> None:
    right = f"{scheme}://user:pass@127.0.0.1:{proxy.port}"
    assert FACES[face](server.url("echo"), proxy=right, **options) == ("127.0.0.1", proxy.port)
    with pytest.raises((HftError, OSError)):  # pproxy says yes to SOCKS first, and then hangs up
        FACES[face](server.url("echo").replace(f":{server.port}", ":1"), proxy=right, **options)
