"""``hft demo``: the whole job on loopback, judged by simulators that share no code with the engine.

Two simulated Bitcoin peers and a simulated Binance run in a process of their own. The engine reads transactions from
the one and sends signed orders to the other. Afterwards the orders that the exchange received are compared with the
orders that the transactions it was given call for, as the simulators' own decoder sees it: not one more, not one less.
"""

from __future__ import annotations

import dataclasses
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import orjson
from rich.console import Console

from hftcore import Engine, EngineLimits, RiskLimits, Rule, WatchTable
from hftcore.errors import ConfigError, HftError
from hftcore.events import (
    DepositEvent,
    EngineStats,
    Event,
    InternalEvent,
    Latency,
    OrderEvent,
    ReplacementEvent,
    RevokedEvent,
    Signal,
    WithdrawalEvent,
)
from hftcore.venues import Credentials, Order
from hftcore.venues.binance import BINANCE
from runner.config import format_btc, load_watch
from runner.dashboard import View, print_latency
from runner.signals import Interrupt
from runner.sim.address import read_addresses
from runner.sim.binance import VenueSettings
from runner.sim.bitcoin_peer import PeerSettings
from runner.sim.serialize import DecodeError
from runner.sim.traffic import client_order_id, demo_watch_list, load_transactions
from runner.sim.world import Report, SimError, SimProcess, WorldSettings

_ORDER = Order(symbol="BTCUSDT", side="SELL", type="LIMIT", quantity="0.01000000", price="52000.00")
# Wide open, because the demo's point is that no expected order is missing; a real configuration is not.
_RISK = RiskLimits(burst=1024, refill_ms=1, window_s=1, window_orders=1024, window_notional="9999999999")
_SETTLE_S = 5.0
_FINAL = frozenset({"filled", "canceled", "rejected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What ``hft demo`` was told. min_sat: the rule's threshold; rate: transactions per second."""

    seconds: float = 20.0
    min_sat: int = 100_000_000
    rate: float = 500.0
    seed: int = 1
    mode: Literal["sleep", "spin"] = "sleep"
    backend: Literal["auto", "io_uring", "epoll"] = "auto"
    transactions: Path | None = None
    addresses: Path | None = None
    json: bool = False


@dataclass(frozen=True, slots=True, order=True)
class ExpectedOrder:
    """What identifies an order at the exchange."""

    client_id: str
    symbol: str
    side: str
    quantity: Decimal


@dataclass(slots=True)
class Outcome:
    """All that a run has to show. Differences are texts; the run is good where there are none."""

    seconds: float
    backend: str
    stats: EngineStats
    latency: dict[str, Latency]
    report: Report
    matched: int
    expected: int
    differences: list[str]
    refused: Counter[str]
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether exactly the expected orders reached the exchange, and exactly the expected deposits were seen."""
        return not self.differences


def expected_orders(report: Report) -> set[ExpectedOrder]:
    """The orders that the delivered transactions call for: one for each large deposit, however it is replaced."""
    return {
        ExpectedOrder(client_order_id(0, txid), _ORDER.symbol, _ORDER.side, Decimal(_ORDER.quantity))
        for txid in report.expected
    }


def compare_orders(expected: set[ExpectedOrder], report: Report) -> list[str]:
    """How the orders that the exchange received differ from the expected ones; each order counts."""
    received = Counter(
        ExpectedOrder(order.client_id, order.symbol, order.side, Decimal(order.quantity or 0))
        for order in report.orders
    )
    missing = [f"missing at the exchange: {_show(order)}" for order in sorted(expected - received.keys())]
    extra = [f"not expected: {_show(order)}" for order in sorted(received.keys() - expected)]
    twice = [f"received {n} times: {_show(order)}" for order, n in sorted(received.items()) if n > 1]
    return missing + extra + twice


Finding = tuple[str, str, str, int]  # kind of signal, txid; owner, or the earlier txid; satoshi


def finding_of(signal: Signal) -> Finding | None:
    """What is compared of a signal; nothing of a whale."""
    match signal:
        case DepositEvent():
            return "deposit", signal.txid, signal.label, signal.amount_sat
        case WithdrawalEvent():
            return "withdrawal", signal.txid, signal.label, 0
        case InternalEvent():
            return "internal", signal.txid, signal.label, 0
        case ReplacementEvent():
            return "replacement", signal.txid, signal.replaces, 0
        case RevokedEvent():
            return "revocation", signal.txid, f"{signal.label}, {signal.replaces}", signal.amount_sat
    return None


def compare_signals(seen: Counter[Finding], report: Report) -> list[str]:
    """How the signals that the engine reported differ from what the delivered transactions are."""
    there: Counter[Finding] = Counter(
        ("deposit", deposit.txid, deposit.label, deposit.amount_sat)
        for deposit in report.deposits
        if deposit.amount_sat
    )
    there.update(("withdrawal", txid, label, 0) for txid, label in report.withdrawals)
    there.update(("internal", txid, label, 0) for txid, label in report.internals)
    there.update(("replacement", txid, earlier, 0) for txid, earlier in report.replacements)
    there.update(("revocation", r.txid, f"{r.label}, {r.replaces}", r.amount_sat) for r in report.revocations)
    return [f"not reported: {_show_finding(item)}" for item in sorted(there - seen)] + [
        f"reported, but is none: {_show_finding(item)}" for item in sorted(seen - there)
    ]


def _show(order: ExpectedOrder) -> str:
    return f"{order.client_id} {order.side} {order.quantity} {order.symbol}"


def _show_finding(finding: Finding) -> str:
    kind, txid, of, amount = finding
    return f"{kind} {txid}: {of} {format_btc(amount) if amount else ''}".rstrip()


class Demo:
    """One run."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self.options = options
        self.console = console
        self.interrupt = Interrupt()
        self.seen: Counter[Finding] = Counter()
        self.open_orders: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.notes: list[str] = []

    def run(self) -> Outcome:
        """Runs until the time is up, the file is at its end, or Ctrl-C. Raises HftError, SimError, OSError."""
        watched, watch = self._watched()
        seen_cap = self._seen_cap()
        api_key, secret = secrets.token_hex(32), secrets.token_hex(32)
        world = WorldSettings(
            watched=watched,
            seed=self.options.seed,
            rate=self.options.rate,
            threshold_sat=self.options.min_sat,
            house_share=0.0 if self.options.addresses else 0.03,
            conflict_share=0.2,
            transactions=self.options.transactions,
            peers=(PeerSettings(seed=self.options.seed), PeerSettings(seed=self.options.seed + 1)),
            venue=VenueSettings(
                api_key=api_key, secret=secret, reject_share=0.03, partial_share=0.2, seed=self.options.seed
            ),
        )
        with SimProcess(world) as sim:
            engine = Engine(
                network=world.network,
                watch=watch,
                mode=self.options.mode,
                backend=self.options.backend,
                dry_run=False,
                deposit_min_sat=1,
                whale_min_sat=10 * self.options.min_sat,
                limits=EngineLimits(event_queue=1 << 16, seen_cap=seen_cap, pending_orders=4096),
                risk=_RISK,
            )
            for port in sim.places.peer_ports:
                engine.add_peer("127.0.0.1", port)
            engine.add_venue(
                BINANCE, Credentials(api_key, secret.encode()), url=sim.places.venue_url, ca_file=sim.places.ca_file
            )
            engine.add_rule(Rule(name="demo", venue=BINANCE.name, order=_ORDER, min_sat=self.options.min_sat))
            with self.interrupt.armed(), engine:
                return self._drive(engine, sim)

    def _watched(self) -> tuple[dict[bytes, str], WatchTable]:
        """The same watch list twice: as the simulators read it, and as hftcore does."""
        if self.options.addresses is not None:
            try:
                watched = read_addresses(self.options.addresses)
            except OSError as error:
                raise ConfigError(f"{self.options.addresses}: {error.strerror}") from None
            except ValueError as error:
                raise ConfigError(str(error)) from None
            return watched, load_watch(self.options.addresses, "mainnet")
        watched = demo_watch_list()
        watch = WatchTable(len(watched))
        for script, label in watched.items():
            watch.add(script, label)
        if self.options.transactions is not None:
            self.notes.append("no --addresses: the built-in wallets are made up, so real transactions pay none of them")
        return watched, watch

    def _seen_cap(self) -> int:
        """Room for every announcement of the run: a forgotten one would be fetched again."""
        if self.options.transactions is not None:
            try:
                n = len(load_transactions(self.options.transactions))
            except OSError as error:
                raise ConfigError(f"{self.options.transactions}: {error.strerror}") from None
            except DecodeError as error:
                raise ConfigError(str(error)) from None
        else:
            n = int(self.options.rate * (self.options.seconds + 10))
        return min(max(1 << (2 * n).bit_length(), 65536), 1 << 24)

    def _drive(self, engine: Engine, sim: SimProcess) -> Outcome:
        engine.wait_ready(10.0)
        heading = f"hft demo: 2 simulated peers, simulated Binance, {engine.backend}, {self.options.mode} mode"
        begin = time.monotonic()
        with View(self.console, heading, quiet=self.options.json) as view:
            sim.announce()
            next_look = 0.0
            while (elapsed := time.monotonic() - begin) < self.options.seconds and not self.interrupt.happened:
                if not engine.running:
                    break  # stop() raises the reason
                self._take(engine.next_event(0.1), view)
                if elapsed >= next_look:
                    next_look = elapsed + 0.25
                    view.update(engine.stats(), engine.latency(), elapsed)
                    if self._at_end(engine, sim):
                        break
            seconds = time.monotonic() - begin
            sim.announce(False)
            self._settle(engine, sim, view)
            backend = engine.backend or ""
            engine.stop()
            while (event := engine.next_event(0)) is not None:
                self._take(event, view)
        report = sim.report()
        stats = engine.stats()
        expected = expected_orders(report)
        differences = compare_orders(expected, report)
        if not stats.events_dropped:
            differences += compare_signals(self.seen, report)
        return Outcome(
            seconds=seconds,
            backend=backend,
            stats=stats,
            latency=engine.latency(),
            report=report,
            matched=sum(
                n for (kind, *_, amount), n in self.seen.items() if kind == "deposit" and amount >= self.options.min_sat
            ),
            expected=len(expected),
            differences=differences,
            refused=self.refused,
            notes=self.notes,
        )

    def _take(self, event: Event | None, view: View) -> None:
        if event is None:
            return
        if isinstance(event, Signal):
            finding = finding_of(event)
            if finding is not None:
                self.seen[finding] += 1
            if isinstance(event, DepositEvent) and event.amount_sat < self.options.min_sat:
                return
        elif isinstance(event, OrderEvent):
            if event.state == "sent":
                self.open_orders.add(event.client_id)
            elif event.state in _FINAL:
                self.open_orders.discard(event.client_id)
            elif event.state == "refused":
                self.refused[event.reason] += 1
        view.add(event)

    def _at_end(self, engine: Engine, sim: SimProcess) -> bool:
        """Whether a file has been delivered to its last transaction."""
        if self.options.transactions is None:
            return False
        there = sim.progress()
        return there.exhausted and there.served == there.added == engine.stats().transactions

    def _settle(self, engine: Engine, sim: SimProcess, view: View) -> None:
        """Waits until what is under way has arrived: transactions asked for, answers to orders."""
        deadline = time.monotonic() + _SETTLE_S
        quiet_since = time.monotonic()
        served = -1
        while time.monotonic() < deadline:
            event = engine.next_event(0.02)
            if event is not None:
                self._take(event, view)
                quiet_since = time.monotonic()
                continue
            now_served = sim.progress().served
            if now_served != served or now_served != engine.stats().transactions or self.open_orders:
                served = now_served
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > 0.3:
                return


# ---- the summary ----


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """The summary as JSON-ready data; times in nanoseconds."""
    stats = outcome.stats
    return {
        "good": outcome.good,
        "seconds": round(outcome.seconds, 3),
        "backend": outcome.backend,
        "transactions": stats.transactions,
        "whales": stats.whales,
        "deposits": stats.deposits,
        "deposits_matched": outcome.matched,
        "withdrawals": stats.withdrawals,
        "internals": stats.internals,
        "replacements": stats.replacements,
        "revoked": stats.revoked,
        "orders": {
            "expected": outcome.expected,
            "received": len(outcome.report.orders),
            "sent": stats.orders_sent,
            "acknowledged": stats.orders_acknowledged,
            "filled": stats.orders_filled,
            "rejected": stats.orders_rejected,
            "refused": dict(outcome.refused),
        },
        "latency_ns": {name: dataclasses.asdict(value) for name, value in outcome.latency.items() if value.count},
        "events_dropped": stats.events_dropped,
        "differences": outcome.differences,
        "notes": outcome.notes,
    }


def print_summary(console: Console, outcome: Outcome) -> None:
    """The summary in words."""
    stats, report = outcome.stats, outcome.report

    def line(name: str, value: str) -> None:
        console.print(f"{name:<22}{value}", highlight=False, soft_wrap=True)

    if outcome.refused:
        reasons = ", ".join(f"{reason} {n}" for reason, n in outcome.refused.most_common())
        line("ORDERS REFUSED", f"{outcome.refused.total()}: {reasons}")
    rate = stats.transactions / outcome.seconds if outcome.seconds else 0
    line("transactions seen", f"{stats.transactions:,} in {outcome.seconds:.1f} s ({rate:,.0f}/s, {outcome.backend})")
    line("whales", f"{stats.whales:,}")
    line("deposits that matched", f"{outcome.matched:,} of {stats.deposits:,} payments to watched wallets")
    line("withdrawals", f"{stats.withdrawals:,}, and {stats.internals:,} moves within one house")
    line("replacements", f"{stats.replacements:,}, of which {stats.revoked:,} revoked a deposit")
    line("orders sent", f"{stats.orders_sent:,}")
    line("orders acknowledged", f"{stats.orders_acknowledged:,}")
    line("orders filled", f"{stats.orders_filled:,}")
    line("orders rejected", f"{stats.orders_rejected:,} (the simulated exchange turns some down for lack of funds)")
    print_latency(console, outcome.latency)
    console.print()
    for note in outcome.notes:
        line("note", note)
    if outcome.good:
        console.print(
            f"[bold green]exact[/]: the exchange received the {len(report.orders):,} expected orders and no other",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print(f"[bold red]NOT exact[/]: {len(outcome.differences)} differences", highlight=False)
        for difference in outcome.differences[:50]:
            console.print("  " + difference, highlight=False, soft_wrap=True, markup=False)
        if len(outcome.differences) > 50:
            console.print(f"  and {len(outcome.differences) - 50} more", highlight=False)
        for problem in sorted(set(report.venue_problems)):
            console.print(f"  the exchange answered: {problem}", highlight=False, soft_wrap=True, markup=False)


def run(options: DemoOptions) -> int:
    """Runs the demo and prints its outcome. Returns the exit status: 0 where it was exact."""
    console = Console(highlight=False)
    try:
        outcome = Demo(options, console).run()
    except (HftError, SimError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    if options.json:
        print(orjson.dumps(to_dict(outcome), option=orjson.OPT_INDENT_2).decode())
    else:
        print_summary(console, outcome)
    return 0 if outcome.good else 1
