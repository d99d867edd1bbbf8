"""The simulated world: transactions, peers, an exchange, in one event loop; or in a process of its own.

A process of its own is what the demo uses: the simulators then take no time from the engine's process, and share
neither memory nor code paths with what they judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from runner.sim.binance import Binance, ReceivedOrder, VenueSettings
from runner.sim.bitcoin_peer import BitcoinPeer, Mempool, PeerCounters, PeerSettings
from runner.sim.certificates import Authority
from runner.sim.ledger import Ledger, Revocation
from runner.sim.serialize import Tx
from runner.sim.traffic import COIN, Deposit, Generator, demo_watch_list, load_transactions
from runner.sim.wallets import demo_wallets

_TICK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What is simulated.

    watched: scriptPubKey -> label. transactions: a file to replay instead of making traffic up. rate: transactions per
    second, 0 = all of the file at once. threshold_sat: what a deposit that calls for an order pays at least.
    deposit_share, house_share, conflict_share: see Generator; houses are those of the demo's own wallets. overlap: the
    probability that a peer also announces what another one does.
    """

    watched: Mapping[bytes, str] = field(default_factory=demo_watch_list)
    seed: int = 1
    rate: float = 500.0
    threshold_sat: int = COIN
    deposit_share: float = 0.04
    house_share: float = 0.0
    conflict_share: float = 0.0
    transactions: Path | None = None
    network: str = "regtest"
    peers: tuple[PeerSettings, ...] = (PeerSettings(), PeerSettings())
    overlap: float = 0.8
    venue: VenueSettings | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the world listens. ca_file: what to trust, valid as long as the world runs."""

    peer_ports: tuple[int, ...]
    venue_url: str
    ca_file: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. added, served: transactions announced by the network, delivered at least once; exhausted: the file
    is at its end.
    """

    added: int
    served: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What happened so far, by the simulators' own account.

    deposits: every deposit in a delivered transaction; expected: the txids of those that call for an order; withdrawals
    and internals: txid and owner; replacements: txid and the earlier one's; orders: every order that was received.
    """

    progress: Progress
    deposits: tuple[Deposit, ...]
    expected: tuple[str, ...]
    withdrawals: frozenset[tuple[str, str]]
    internals: frozenset[tuple[str, str]]
    replacements: frozenset[tuple[str, str]]
    revocations: frozenset[Revocation]
    orders: tuple[ReceivedOrder, ...]
    orders_filled: int
    venue_problems: tuple[str, ...]
    peers: tuple[PeerCounters, ...]


class World:
    """All simulators in the running event loop."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.exhausted = False
        self.ledger = Ledger(settings.watched, settings.threshold_sat)
        capacity = None if settings.transactions else 50_000
        self.mempool = Mempool(
            len(settings.peers), overlap=settings.overlap, seed=settings.seed, capacity=capacity,
            on_served=self._on_served,
        )  # fmt: skip
        self.peers = [BitcoinPeer(self.mempool, i, peer, settings.network) for i, peer in enumerate(settings.peers)]
        self.authority = Authority() if settings.venue else None
        self.venue = (
            Binance(settings.venue, self.authority.server_context()) if settings.venue and self.authority else None
        )
        self._source = self._transactions()
        self._directory = tempfile.TemporaryDirectory(prefix="hft-sim-")
        self._announcing: asyncio.Task[None] | None = None

    async def start(self) -> Places:
        """Listens everywhere; announces nothing yet."""
        ports = [await peer.start() for peer in self.peers]
        url = ca_file = ""
        if self.venue is not None and self.authority is not None:
            await self.venue.start()
            url = self.venue.url
            ca_file = str(Path(self._directory.name, "ca.pem"))
            Path(ca_file).write_bytes(self.authority.pem)
        return Places(tuple(ports), url, ca_file)

    async def stop(self) -> None:
        """Ends every connection and removes the CA file."""
        self.announce(False)
        for peer in self.peers:
            await peer.stop()
        if self.venue is not None:
            await self.venue.stop()
        self._directory.cleanup()

    def announce(self, on: bool = True) -> None:
        """Starts or pauses the flow of new transactions; what was announced is served in any case."""
        if on and self._announcing is None:
            self._announcing = asyncio.create_task(self._flow())
        elif not on and self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self.mempool.added, len(self.mempool.served), self.exhausted)

    def report(self) -> Report:
        """What happened so far."""
        return Report(
            progress=self.progress(),
            deposits=tuple(self.ledger.deposits),
            expected=tuple(self.ledger.orders),
            withdrawals=frozenset(self.ledger.withdrawals),
            internals=frozenset(self.ledger.internals),
            replacements=frozenset(self.ledger.replacements),
            revocations=frozenset(self.ledger.revocations),
            orders=tuple(self.venue.orders) if self.venue else (),
            orders_filled=self.venue.counters.filled if self.venue else 0,
            venue_problems=tuple(self.venue.counters.problems) if self.venue else (),
            peers=tuple(peer.counters for peer in self.peers),
        )

    def _transactions(self) -> Iterator[Tx]:
        settings = self.settings
        if settings.transactions is not None:
            return iter(load_transactions(settings.transactions))
        return iter(
            Generator(
                seed=settings.seed,
                watched=settings.watched,
                threshold_sat=settings.threshold_sat,
                deposit_share=settings.deposit_share,
                wallets=demo_wallets() if settings.house_share else (),
                house_share=settings.house_share,
                conflict_share=settings.conflict_share,
            )
        )

    def _on_served(self, tx: Tx) -> None:
        self.ledger.add(tx)

    async def _flow(self) -> None:
        rate = self.settings.rate
        begin, done = time.monotonic(), 0
        while not self.exhausted:
            due = int((time.monotonic() - begin) * rate) if rate else done + 1000
            for _ in range(due - done):
                tx = next(self._source, None)
                if tx is None:
                    self.exhausted = True
                    break
                self.mempool.add(tx)
            done = due
            await asyncio.sleep(_TICK_S)


Command = Literal["announce", "pause", "progress", "report", "stop"]


class SimError(RuntimeError):
    """The simulators' process failed; the message is its own."""


def _serve(settings: WorldSettings, pipe: Connection) -> None:
    """The process: answers commands until told to stop, or until the other end is gone."""
    with contextlib.suppress(BrokenPipeError):
        try:
            asyncio.run(_obey(settings, pipe))
        except Exception as error:
            pipe.send(SimError(f"{type(error).__name__}: {error}"))


async def _obey(settings: WorldSettings, pipe: Connection) -> None:
    world = World(settings)
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), arrived.set)
    pipe.send(await world.start())
    try:
        while True:
            await arrived.wait()
            arrived.clear()
            while pipe.poll():
                command: Command = pipe.recv()
                if command == "stop":
                    return
                if command == "report":
                    pipe.send(world.report())
                elif command == "progress":
                    pipe.send(world.progress())
                else:
                    world.announce(command == "announce")
    except EOFError:
        return
    finally:
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        await world.stop()


class SimProcess:
    """The simulated world in a process of its own; use it with ``with``."""

    def __init__(self, settings: WorldSettings, *, cpu: int | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(settings, child), name="hft-sim", daemon=True)
        # Ctrl-C is for the program that started us, which then stops us: the process inherits the signal blocked.
        # The tracker is started first, because its start unblocks the signal.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        child.close()
        if cpu is not None and self._process.pid is not None:
            os.sched_setaffinity(self._process.pid, {cpu})
        try:
            self.places: Places = self._receive(timeout_s=30.0)
        except BaseException:
            self.close()
            raise

    def announce(self, on: bool = True) -> None:
        """Starts or pauses the flow of new transactions."""
        self._pipe.send("announce" if on else "pause")

    def progress(self) -> Progress:
        """How far it is. Raises SimError if the process is gone."""
        progress: Progress = self._ask("progress")
        return progress

    def report(self) -> Report:
        """What happened so far. Raises SimError if the process is gone."""
        report: Report = self._ask("report")
        return report

    def _ask(self, command: Command) -> Any:
        try:
            self._pipe.send(command)
        except BrokenPipeError:
            raise SimError("the simulators ended unexpectedly") from None
        return self._receive(timeout_s=10.0)

    def close(self) -> None:
        """Ends the process; idempotent."""
        if self._process.is_alive():
            with contextlib.suppress(OSError):
                self._pipe.send("stop")
            self._process.join(5.0)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, timeout_s: float) -> Any:
        try:
            if not self._pipe.poll(timeout_s):
                raise SimError(f"the simulators did not answer within {timeout_s:g} s")
            answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise SimError("the simulators ended unexpectedly") from None
        if isinstance(answer, SimError):
            raise answer
        return answer
