"""``hft ws``: a WebSocket client for the terminal, and a meter of round trips to choose an endpoint by."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hftcore import aio
from hftcore.errors import ConnectionClosed, HftError

_HELP = "/ping   /close [CODE [REASON]]   /stats   /help   (a line that begins with // is sent with one /)"
_BINARY_SHOWN = 64  # bytes of a binary message on the screen
_BARS = 12
_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Reply:
    """A measure of ones own: what is sent as a text message, and what its answer holds."""

    message: str
    marker: str


@dataclass(slots=True)
class Measure:
    """One endpoint under measurement. Round trips in ns."""

    url: str
    connect_ns: int = 0
    about: str = ""
    sent: int = 0
    round_trips: list[int] = field(default_factory=list)
    error: str = ""

    def percentile(self, share: float) -> int:
        """The round trip that `share` of all (0 to 1) do not exceed; 0 without any."""
        ordered = sorted(self.round_trips)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0

    def to_json(self) -> dict[str, Any]:
        """What is printed with --json."""
        return {
            "url": _shown(self.url), "connect_ns": self.connect_ns, "connection": self.about, "sent": self.sent,
            "answered": len(self.round_trips), "min_ns": min(self.round_trips, default=0),
            "p50_ns": self.percentile(0.5), "p90_ns": self.percentile(0.9), "p99_ns": self.percentile(0.99),
            "max_ns": max(self.round_trips, default=0), "error": self.error,
        }  # fmt: skip


def _shown(url: str) -> str:
    """The URL without user name and password."""
    return re.sub(r"//[^/?#]*@", "//", url)


def duration(ns: float) -> str:
    """A time in ns, µs, ms or s, with three digits that mean something."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            value = ns / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{ns:.0f} ns"


def histogram(round_trips: Sequence[int], bars: int = _BARS) -> list[tuple[int, int]]:
    """(upper bound in ns, how many) in equal steps from the fastest to p99; the last one holds all that is slower."""
    ordered = sorted(round_trips)
    if not ordered:
        return []
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    step = max(1, -(-(high - low + 1) // bars))
    counts = [0] * bars
    for value in ordered:
        counts[min(bars - 1, (value - low) // step)] += 1
    rows = [(low + step * (i + 1), count) for i, count in enumerate(counts)]
    while len(rows) > 1 and rows[-1][1] == 0:
        rows.pop()
    return [*rows[:-1], (max(ordered[-1], rows[-1][0]), rows[-1][1])]


def _describe(ws: aio.ClientConnection) -> str:
    """What the connection is, in a few words."""
    words = [ws.tls_version, ws.tls_cipher, "resumed" if ws.tls_resumed else None]
    words.append(f"subprotocol {ws.subprotocol}" if ws.subprotocol else None)
    return ", ".join(word for word in words if word) or "plain"


# ---- the meter ----


def _bars(measure: Measure) -> list[Text]:
    rows = histogram(measure.round_trips)
    most = max((count for _, count in rows), default=1)
    lines = []
    for bound, count in rows:
        eighths = round(count / most * _BAR_WIDTH * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        lines.append(Text(f"  ≤ {duration(bound):>8}  {bar} {count or ''}".rstrip()))
    return lines


def _report(measures: Sequence[Measure]) -> Group:
    table = Table(box=None, pad_edge=False)
    table.add_column("endpoint", overflow="fold")
    for name in ("connect", "answered", "min", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True, min_width=7)
    table.add_column("", overflow="fold")
    answered = [m for m in measures if m.round_trips]
    best = min(answered, key=lambda m: m.percentile(0.5)) if len(answered) > 1 else None
    for m in measures:
        times = [
            min(m.round_trips, default=0),
            *(m.percentile(p) for p in (0.5, 0.9, 0.99)),
            max(m.round_trips, default=0),
        ]
        cells = [duration(t) if m.round_trips else "" for t in times]
        connect = duration(m.connect_ns) if m.connect_ns else ""
        note = Text(m.error or m.about, style="red" if m.error else "dim")
        table.add_row(Text(_shown(m.url), style="bold green" if m is best else ""), connect,
                      f"{len(m.round_trips)}/{m.sent}", *cells, note)  # fmt: skip
    shown = best or (measures[0] if len(measures) == 1 else None)
    if shown is None or not shown.round_trips:
        return Group(table)
    title = Text(f"\nround trips of {_shown(shown.url)}") if len(measures) > 1 else Text("")
    return Group(table, title, *_bars(shown))


async def _one_round_trip(ws: aio.ClientConnection, reply: Reply | None, timeout_s: float) -> int:
    """Its time in ns. Raises TimeoutError, ConnectionLost."""
    async with asyncio.timeout(timeout_s):
        if reply is None:
            return round(await ws.ping() * 1e9)
        begin = time.perf_counter_ns()
        await ws.send(reply.message)
        marker = reply.marker.encode()
        while marker not in await ws.recv(decode=False):
            pass
        return time.perf_counter_ns() - begin


async def _measure(
    measure: Measure, options: dict[str, Any], reply: Reply | None, count: int, interval_s: float
) -> None:
    begin = time.perf_counter_ns()
    timeout_s = max(5.0, interval_s)
    try:
        async with aio.connect(measure.url, **options) as ws:
            measure.connect_ns = time.perf_counter_ns() - begin
            measure.about = _describe(ws)
            while measure.sent < count:
                due = time.monotonic() + interval_s
                measure.sent += 1
                try:
                    measure.round_trips.append(await _one_round_trip(ws, reply, timeout_s))
                except TimeoutError:
                    measure.error = f"no answer in {timeout_s:g} s"
                    if reply is not None:
                        return  # a late answer would be taken for the next one's
                await asyncio.sleep(max(0.0, due - time.monotonic()))
    except (HftError, OSError) as error:
        measure.error = str(error)


def measure_endpoints(
    urls: Sequence[str], options: dict[str, Any], *, reply: Reply | None, count: int, interval_s: float, json: bool
) -> int:
    """Measures all at the same time and prints the result; returns the exit status."""
    measures = [Measure(url) for url in urls]
    asyncio.run(_measure_all(measures, options, reply, count, interval_s, show=not json))
    if json:
        for m in measures:
            print(orjson.dumps(m.to_json()).decode())
    else:
        Console(highlight=False).print(_report(measures))
    return 0 if all(m.round_trips and not m.error for m in measures) else 1


async def _measure_all(
    measures: Sequence[Measure],
    options: dict[str, Any],
    reply: Reply | None,
    count: int,
    interval_s: float,
    *,
    show: bool,
) -> None:
    screen = Console(stderr=True, highlight=False)
    tasks = [asyncio.ensure_future(_measure(m, options, reply, count, interval_s)) for m in measures]
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: [task.cancel() for task in tasks])
    live = Live(console=screen, auto_refresh=False, transient=True) if show and screen.is_terminal else None
    with live or contextlib.nullcontext():
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.25)
            if live is not None:
                live.update(_report(measures), refresh=True)
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            task.result()


# ---- the conversation ----


async def _lines() -> AsyncIterator[str]:
    """The lines of standard input, whatever it is: a file cannot be watched by a loop, and a thread can be left."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | Exception] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            try:
                while line := sys.stdin.readline():
                    loop.call_soon_threadsafe(lines.put_nowait, line)
                loop.call_soon_threadsafe(lines.put_nowait, "")
            except (ValueError, OSError) as error:
                loop.call_soon_threadsafe(lines.put_nowait, error)

    threading.Thread(target=read, name="hft-stdin", daemon=True).start()
    while line := await lines.get():
        if isinstance(line, Exception):
            raise OSError(f"standard input: {line}")
        yield line.rstrip("\n")


def _show(console: Console, message: str | bytes, *, stamped: bool) -> None:
    if isinstance(message, bytes):
        cut = "..." if len(message) > _BINARY_SHOWN else ""
        message = f"({len(message)} bytes) {message[:_BINARY_SHOWN].hex(' ')}{cut}"
    now = time.time()
    stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03d} " if stamped else ""
    if console.is_terminal:  # a server has no business moving the cursor
        message = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in message)
    if stamped:
        console.print(Text(f"{stamp}< {message}"), soft_wrap=True)
    else:
        console.file.write(f"{message}\n")


async def _command(ws: aio.ClientConnection, line: str, note: Console) -> None:
    """Carries out a line that begins with /."""
    word, _, rest = line[1:].partition(" ")
    if word == "ping":
        note.print(f"round trip {duration(await ws.ping() * 1e9)}")
    elif word == "close":
        code, _, reason = rest.partition(" ")
        if code and not code.isdigit():
            note.print(f"close code {code!r}: a number, 1000 or 3000 to 4999")
            return
        await ws.close(int(code or 1000), reason)
    elif word == "stats":
        note.print(str(ws.stats()))
    else:
        note.print(_HELP)


async def _talk(ws: aio.ClientConnection, note: Console) -> None:
    async for line in _lines():
        try:
            if line.startswith("/") and not line.startswith("//"):
                await _command(ws, line, note)
            elif line:
                await ws.send(line[1:] if line.startswith("//") else line)
        except ValueError as error:  # what the protocol forbids is the user's to put right, not the end
            note.print(f"error: {error}", style="red", markup=False)


async def _listen(ws: aio.ClientConnection, out: Console, *, stamped: bool, flush: bool) -> None:
    async for message in ws:
        _show(out, message, stamped=stamped)
        if flush:
            sys.stdout.flush()


async def _converse(url: str, options: dict[str, Any], linger_s: float) -> int:
    out, note = Console(highlight=False), Console(stderr=True, highlight=False, style="dim")
    terminal = os.isatty(0)
    async with aio.connect(url, **options) as ws:
        if terminal:
            note.print(
                f"connected: {_shown(url)}, {_describe(ws)}. Lines are sent; Ctrl-D or Ctrl-C ends. {_HELP}",
                soft_wrap=True,
            )
        listening = asyncio.ensure_future(_listen(ws, out, stamped=terminal, flush=not out.is_terminal))
        talking = asyncio.ensure_future(_talk(ws, note))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, talking.cancel)
        await asyncio.wait({listening, talking}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done() and not talking.cancelled():
            await asyncio.wait({listening}, timeout=linger_s)
        closed_by_peer = listening.done()
        await ws.close()
        for task in (listening, talking):
            task.cancel()
        for end in await asyncio.gather(listening, talking, return_exceptions=True):
            if isinstance(end, ConnectionClosed):
                note.print(f"closed by the server: {end.close_code} {end.reason}".rstrip(), markup=False)
                return 0 if end.close_code in (1000, 1001) else 1
            if isinstance(end, Exception):
                raise end
        if closed_by_peer and terminal:
            note.print("closed by the server")
    return 0


def converse(url: str, options: dict[str, Any], *, linger_s: float) -> int:
    """Sends the lines of standard input, prints what comes; returns the exit status.

    linger_s: how long answers are waited for after the end of the input.
    """
    try:
        return asyncio.run(_converse(url, options, linger_s))
    finally:
        if not os.isatty(0):
            with contextlib.suppress(BrokenPipeError):
                sys.stdout.flush()
