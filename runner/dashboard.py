"""What a terminal shows: the demo's live view, latency tables, summaries; plain lines where there is no terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hftcore.events import STAGES, EngineStats, Event, Latency
from runner.journal import describe, duration

_ROWS_MAX = 16
_OTHER_LINES = 19  # of the live view: heading, counters, latency, borders
_LATENCY_NAMES = {"total": "bytes in to order out", "reply": "order out to acknowledged"}


def latency_table(latency: Mapping[str, Latency]) -> Table:
    """One line per stage with count, p50, p90, p99, p99.9 and max."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage")
    for name in ("count", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    for stage in (*STAGES, "total", "reply"):
        row = latency.get(stage)
        if row is not None and row.count:
            values = (row.p50, row.p90, row.p99, row.p999, row.max)
            table.add_row(
                _LATENCY_NAMES.get(stage, stage), f"{row.count:,}", *map(duration, values),
                style="bold" if stage == "total" else "",
            )  # fmt: skip
    return table


def print_latency(console: Console, latency: Mapping[str, Latency]) -> None:
    """The latency table under its heading; nothing where no order was made."""
    if any(row.count for row in latency.values()):
        console.print("\n[bold]latency, in the engine[/]", highlight=False)
        console.print(latency_table(latency))


def counters(stats: EngineStats) -> Text:
    """The counters that matter, in one line."""
    line = Text()
    for name, value in (
        ("transactions", stats.transactions),
        ("whales", stats.whales),
        ("replacements", stats.replacements),
        ("revoked", stats.revoked),
        ("deposits", stats.deposits),
        ("withdrawals", stats.withdrawals),
        ("internal", stats.internals),
        ("orders sent", stats.orders_sent),
        ("acknowledged", stats.orders_acknowledged),
        ("filled", stats.orders_filled),
        ("rejected", stats.orders_rejected),
        ("refused", stats.orders_refused),
    ):
        line.append(f"{name} ", "dim").append(f"{value:,}   ", "bold")
    return line


class View:
    """Shows events and counters as they come: live on a terminal, a plain line now and then elsewhere.

    Use it with ``with``. quiet: shows nothing at all.
    """

    def __init__(self, console: Console, heading: str, *, quiet: bool = False) -> None:
        self._console = console
        self._heading = heading
        self._events: deque[Event] = deque(maxlen=_ROWS_MAX)
        self._quiet = quiet
        live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None
        self._last_line = 0.0

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        elif not self._quiet:
            self._console.print(self._heading, highlight=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def add(self, event: Event) -> None:
        """Takes an event in; it is seen at the next update."""
        self._events.append(event)

    def update(self, stats: EngineStats, latency: Mapping[str, Latency], elapsed_s: float) -> None:
        """Draws; without a terminal at most one line every two seconds."""
        if self._live is not None:
            self._live.update(self._render(stats, latency, elapsed_s), refresh=True)
        elif not self._quiet and elapsed_s - self._last_line >= 2:
            self._last_line = elapsed_s
            self._console.print(
                f"{elapsed_s:4.0f} s  {counters(stats).plain.rstrip()}", highlight=False, soft_wrap=True
            )

    def _render(self, stats: EngineStats, latency: Mapping[str, Latency], elapsed_s: float) -> RenderableType:
        title = Text.assemble((self._heading, "bold"), f"   {elapsed_s:.0f} s")
        rows = min(max(self._console.height - _OTHER_LINES, 3), _ROWS_MAX)
        events = Group(*(_clipped(describe(event)) for event in list(self._events)[-rows:]))
        return Group(
            title,
            counters(stats),
            Panel(events, title="last events", title_align="left", height=rows + 2),
            Panel(latency_table(latency), title="latency", title_align="left"),
        )


def _clipped(line: Text) -> Text:
    line.overflow = "ellipsis"
    return line
