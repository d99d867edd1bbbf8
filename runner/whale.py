"""``hft watch`` and ``hft trade``: an Engine, its events on the screen and in the journal, until Ctrl-C."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from hftcore import Engine, WatchTable
from hftcore.errors import ConfigError
from hftcore.events import Event, PeerEvent, Signal, VenueEvent, WatchEvent
from hftcore.venues import Credentials
from runner.config import Plan, format_btc, load_watch
from runner.dashboard import counters, print_latency
from runner.journal import Journal, describe, to_json
from runner.peers import PeerPlan, print_peers
from runner.reload import Reload
from runner.signals import Interrupt


def pump(
    engine: Engine, take: Callable[[Event], None], *, reload: Reload | None = None, seconds: float | None = None
) -> None:
    """Runs the engine and passes its events on until Ctrl-C, SIGTERM or the end of `seconds`.

    Raises what ended the engine, if it ended by itself.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    reloading = reload.armed() if reload is not None else contextlib.nullcontext()
    with Interrupt().armed() as interrupt, engine, reloading:
        try:
            while not interrupt.happened and engine.running and (deadline is None or time.monotonic() < deadline):
                if reload is not None:
                    reload.step()
                event = engine.next_event(0.2)
                if event is not None:
                    take(event)
        finally:  # whatever ended it: what became of the orders is told
            try:
                engine.stop()
            finally:
                _drain(engine, take)


def _drain(engine: Engine, take: Callable[[Event], None]) -> None:
    """Passes every event left on, even if passing one on fails; then raises the first failure."""
    failure: Exception | None = None
    while (event := engine.next_event(0)) is not None:
        try:
            take(event)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _say(console: Console, text: str) -> None:
    console.print(text, style="yellow", soft_wrap=True, markup=False)


class News:
    """Whether a line on the screen is due: not for each of the many attempts to connect.

    managed: peers are found, so that one that does not answer is no news either.
    """

    def __init__(self, *, managed: bool) -> None:
        self._managed = managed
        self._ready: set[int] = set()

    def __call__(self, event: Event) -> bool:
        """To be asked once for each event, in their order."""
        if not isinstance(event, PeerEvent):
            return not (isinstance(event, VenueEvent) and event.state == "connecting")
        was_ready = event.peer in self._ready
        (self._ready.add if event.state == "ready" else self._ready.discard)(event.peer)
        return event.state == "ready" or (event.state == "lost" and (was_ready or not self._managed))


def watch(
    *,
    plan: PeerPlan,
    min_sat: int,
    addresses: Path | None,
    json: bool,
    seconds: float | None,
    out: Console,
    log: Console,
) -> None:
    """Prints every signal of at least min_sat; the state of the connections goes to `log`."""

    def load() -> WatchTable:
        return load_watch(addresses, plan.network) if addresses is not None else WatchTable(1)

    table = load()
    engine = Engine(network=plan.facts(), watch=table, whale_min_sat=min_sat, deposit_min_sat=min_sat)
    is_news = News(managed=plan.apply(engine) is not None)
    log.print(f"{plan.network}: connecting to {plan}; whales from {format_btc(min_sat)} BTC; Ctrl-C to stop")

    def take(event: Event) -> None:
        if isinstance(event, Signal):
            out.print(to_json(event) if json else describe(event), soft_wrap=True, markup=False, highlight=False)
        elif isinstance(event, PeerEvent | WatchEvent) and is_news(event):
            log.print(describe(event), soft_wrap=True)

    pump(engine, take, reload=Reload(engine, load, lambda text: _say(log, text)), seconds=seconds)
    log.print(counters(engine.stats()), soft_wrap=True)
    print_peers(log, engine.peers())


def trade(plan: Plan, *, live: bool, seconds: float | None, out: Console) -> None:
    """Runs a checked configuration. live: orders are sent; else all happens but that."""
    config = plan.config
    engine = Engine(
        network=plan.peers.facts(),
        watch=plan.watch,
        mode=config.engine.mode,
        cpu=config.engine.cpu,
        backend=config.engine.backend,
        dry_run=not live,
        deposit_min_sat=min(rule.min_sat for rule in plan.rules),
        whale_min_sat=config.bitcoin.whale_sat or 0,
        risk=plan.risk,
    )
    is_news = News(managed=plan.peers.apply(engine) is not None)
    for venue in plan.venues:
        engine.add_venue(venue.venue, _credentials(venue.venue.name, live, out), url=venue.url, ca_file=venue.ca_file)
    for rule in plan.rules:
        engine.add_rule(rule)
    with _journal(plan.journal) as journal:

        def take(event: Event) -> None:
            if journal is not None:
                journal.write(event)
            if is_news(event):
                out.print(describe(event), soft_wrap=True)

        pump(engine, take, reload=Reload(engine, plan.load_watch, lambda text: _say(out, text)), seconds=seconds)
    out.print(counters(engine.stats()), soft_wrap=True)
    print_latency(out, engine.latency())
    print_peers(out, engine.peers())


def _credentials(venue: str, live: bool, out: Console) -> Credentials | None:
    """Keys from the environment. A rehearsal goes without: then the login is not rehearsed."""
    try:
        return Credentials.from_env(venue)
    except ConfigError as error:
        if live:
            raise
        out.print(f"{error}; rehearsing without a login", soft_wrap=True)
        return None


def _journal(path: Path | None) -> contextlib.AbstractContextManager[Journal | None]:
    return contextlib.nullcontext() if path is None else Journal(path)
