"""Both backends, an authority, a stage for an engine that must be left clean; servers and loops for the faces."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftcore import Engine, aio
from hftcore.bitcoin import split_transactions
from hftcore.engine import io_uring_error
from hftcore.reactor import Reactor
from tests.integration import rig
from tests.integration.aio_rig import FOREVER, LOOPS, Connect, Run
from tests.integration.ws_server import WAIT_S, WebSocketServer, serving


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> rig.Trust:
    return rig.Trust(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Nobody listens at it, and none of the tests beside this one can be given it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(params=rig.BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name == "io_uring" and (reason := io_uring_error()):
        pytest.skip(f"io_uring: {reason}")
    return name


@pytest.fixture
def reactor(backend: str) -> Iterator[Reactor]:
    fds = rig.open_fds()
    with Reactor(backend=backend) as made:
        yield made
    rig.wait_until(lambda: not {fd for fd in rig.open_fds() - fds if fd.startswith("socket:")})


class Stage:
    """One peer's and one venue's listening sockets, and engines between them."""

    def __init__(self, backend: str, trust: rig.Trust) -> None:
        self.backend = backend
        self.trust = trust
        self.peer_listener = rig.PeerListener()
        self.venue_listener = rig.VenueListener(trust.context)
        self.peer: rig.PeerLink
        self.venue: rig.VenueLink
        self.engines: list[Engine] = []
        self._closing = contextlib.ExitStack()
        self._closing.callback(self.peer_listener.close)
        self._closing.callback(self.venue_listener.close)

    def engine(self, **settings: Any) -> Engine:
        """An engine for this stage, not started; see rig.engine_for."""
        settings.setdefault("backend", self.backend)
        engine = rig.engine_for(ca_file=self.trust.ca_file, **settings)
        self.engines.append(engine)
        return engine

    def start(self, **settings: Any) -> Engine:
        """An engine with one peer and one venue, all ready, and one rule unless others are given."""
        settings.setdefault("rules", [rig.rule()])
        engine = self.engine(peers=[self.peer_listener], venue=self.venue_listener, **settings)
        engine.start()
        self.accept_peer().handshake()
        self.accept_venue().login()
        engine.wait_ready(rig.WAIT_S)
        return engine

    def start_peer(self, **settings: Any) -> Engine:
        """An engine with one peer alone, ready."""
        engine = self.engine(peers=[self.peer_listener], **settings)
        engine.start()
        self.accept_peer().handshake()
        engine.wait_ready(rig.WAIT_S)
        return engine

    def accept_peer(self) -> rig.PeerLink:
        self.peer = self.peer_listener.accept()
        self._closing.callback(self.peer.close)
        return self.peer

    def accept_venue(self, max_size: int | None = None) -> rig.VenueLink:
        self.venue = self.venue_listener.accept(max_size)
        self._closing.callback(self.venue.close)
        return self.venue

    def later(self, link: Any) -> Any:
        """Closes link at the end."""
        self._closing.callback(link.close)
        return link

    def close(self) -> None:
        self._closing.close()
        for engine in self.engines:
            engine.stop(1.0)
            stats = engine.stats()
            assert (stats.sockets_now, stats.memory_now) == (0, 0)
        self.engines.clear()


@pytest.fixture
def stage(backend: str, trust: rig.Trust) -> Iterator[Stage]:
    fds = rig.open_fds()
    threads = set(threading.enumerate())
    place = Stage(backend, trust)
    yield place
    place.close()
    del place
    gc.collect()  # the servers' own: selectors that only their end closes
    rig.wait_until(lambda: not {t.name for t in set(threading.enumerate()) - threads if t.name.startswith("hft")})
    rig.wait_until(lambda: not rig.open_fds() - fds)


@pytest.fixture(scope="session")
def block(shared: Path) -> list[bytes]:
    """The raw transactions of mainnet block 866342."""
    return split_transactions((shared / "data" / "txs_866342.bin").read_bytes())


@pytest.fixture(scope="module")
def server() -> Iterator[WebSocketServer]:
    with serving() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[WebSocketServer]:
    """One that no other test has spoken to."""
    with serving() as server:
        yield server


@pytest.fixture(params=LOOPS)
def loop_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(loop_kind: str) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=LOOPS[loop_kind]) as runner:
        yield lambda coroutine: runner.run(asyncio.wait_for(coroutine, WAIT_S))


@pytest.fixture
def connect(loop_kind: str, backend: str) -> Connect:
    """aio.connect, sleeping and polling: each with either backend and either loop, though not with every pair."""
    spin_us = 0.0 if (loop_kind == "asyncio") == (backend == "io_uring") else FOREVER

    def of(url: str | list[str], **options: Any) -> aio.connect:
        return aio.connect(url, **{"backend": backend, "spin_us": spin_us, **options})

    return of
