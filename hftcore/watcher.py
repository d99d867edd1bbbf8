"""Bitcoin's network as a stream of signals: an Engine without exchanges, for asyncio or for a plain loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from hftcore.addresses import Network
from hftcore.endpoints import parse_endpoint
from hftcore.engine import Engine
from hftcore.errors import ConfigError, HftError
from hftcore.events import EngineStats, Signal
from hftcore.peers import PeerInfo, PeerManager
from hftcore.settings import EngineLimits
from hftcore.watch import WatchTable


class BitcoinWatcher:
    """Deposits, withdrawals, moves within one house, whales, replacements and revocations, as they are announced.

    peers: nodes, each "HOST", "HOST:PORT" or (host, port), or a PeerManager that finds and judges them; None = a
    PeerManager with 16 nodes. min_sat: least deposit, withdrawal or move that is told, whale_min_sat: least output
    from nobody known to nobody known, 0 = none; both satoshi. The others: see Engine.

    Iterate over it, with ``async for`` in any asyncio event loop, or with ``for``: it starts with the first signal
    that is asked for, if not before. ``async with`` and ``with`` start it and close it; one that nobody refers to any
    more is closed, too. Only one task or thread may iterate at a time. A signal is lost neither by cancellation nor by
    a time-out: it comes next time.

    Raises ConfigError at once for what cannot be, and in the iteration what ended it early, if something did.
    """

    def __init__(
        self,
        *,
        network: str | Network = "mainnet",
        peers: Iterable[str | tuple[str, int | None]] | PeerManager | None = None,
        watch: WatchTable | None = None,
        min_sat: int = 1,
        whale_min_sat: int = 0,
        withdrawals: bool = True,
        limits: EngineLimits | None = None,
        mode: Literal["sleep", "spin"] = "sleep",
        cpu: int | None = None,
        backend: Literal["auto", "io_uring", "epoll"] = "auto",
        user_agent: str = "/hftcore:0.1.0/",
    ) -> None:
        self._engine = Engine(
            network=network,
            watch=watch,
            deposit_min_sat=min_sat,
            whale_min_sat=whale_min_sat,
            withdrawals=withdrawals,
            limits=limits,
            mode=mode,
            cpu=cpu,
            backend=backend,
            user_agent=user_agent,
        )
        if peers is None or isinstance(peers, PeerManager):
            self._engine.manage(peers or PeerManager())
        else:
            self._add_peers([peers] if isinstance(peers, str) else peers)
        self._started = False
        self._starting: asyncio.Future[None] | None = None
        self._abandoned = weakref.finalize(self, _stop, self._engine)

    def _add_peers(self, peers: Iterable[str | tuple[str, int | None]]) -> None:
        found = 0
        for peer in peers:
            try:
                host, port = parse_endpoint(peer) if isinstance(peer, str) else peer
            except ValueError as error:
                raise ConfigError(f"peers: {error}") from None
            self._engine.add_peer(host, port)
            found += 1
        if not found:
            raise ConfigError("peers: none given; leave it out to have them found")

    # ---- blocking ----

    def start(self) -> None:
        """Begins to connect; does nothing if that has been done. Raises what keeps it from starting."""
        if not self._started:
            self._engine.start()
            self._started = True

    def close(self) -> None:
        """Closes all connections. Signals that have come stay readable. Idempotent."""
        self._started = True
        self._abandoned.detach()
        self._engine.stop()

    def next_signal(self, timeout_s: float | None = None) -> Signal | None:
        """The next signal; None after timeout_s seconds (None = waits), or once all is read of a closed watcher."""
        self.start()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            event = self._engine.next_event(left_s)
            if event is None or isinstance(event, Signal):
                return event

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Signal:
        signal = self.next_signal()
        if signal is None:
            self.close()  # raises what ended it, if it has ended by itself
            raise StopIteration
        return signal

    # ---- asyncio ----

    async def aclose(self) -> None:
        """As close(), without blocking the event loop. It is closed in any case, even if the task is cancelled."""
        await asyncio.shield(self._finish())

    async def _finish(self) -> None:
        if self._starting is not None:
            with contextlib.suppress(HftError, OSError):  # told where it was to start
                await self._starting
        await asyncio.to_thread(self.close)

    async def _start(self) -> None:
        if self._started:
            return
        if self._starting is None:
            self._starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        await asyncio.shield(self._starting)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Signal:
        await self._start()
        async for event in self._engine:
            if isinstance(event, Signal):
                return event
        await self.aclose()
        raise StopAsyncIteration

    # ---- what it is doing ----

    def replace_watch(self, watch: WatchTable) -> None:
        """Hands it another watch table; see Engine.replace_watch."""
        self._engine.replace_watch(watch)

    def peers(self) -> list[PeerInfo]:
        """The peers and what each was worth; see Engine.peers."""
        return self._engine.peers()

    def stats(self) -> EngineStats:
        """Counters since the start."""
        return self._engine.stats()

    def __repr__(self) -> str:
        return f"<BitcoinWatcher {self._engine!r}>"


def _stop(engine: Engine) -> None:
    """Of a watcher that nobody refers to any more."""
    with contextlib.suppress(HftError, OSError):
        engine.stop()
