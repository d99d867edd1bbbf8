"""Events in words and as JSON lines."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from rich.text import Text

from hftcore.events import (
    DepositEvent,
    Event,
    InternalEvent,
    OrderEvent,
    PeerEvent,
    ReplacementEvent,
    RevokedEvent,
    Signal,
    VenueEvent,
    WatchEvent,
    WhaleEvent,
    WithdrawalEvent,
)
from runner.config import format_btc

_KINDS: dict[type[Event], str] = {
    PeerEvent: "peer",
    VenueEvent: "venue",
    DepositEvent: "deposit",
    WithdrawalEvent: "withdrawal",
    InternalEvent: "internal",
    WhaleEvent: "whale",
    ReplacementEvent: "replacement",
    RevokedEvent: "revoked",
    OrderEvent: "order",
    WatchEvent: "watch",
}
_STYLES = {
    "ready": "green",
    "filled": "bold green",
    "partially_filled": "green",
    "acknowledged": "cyan",
    "lost": "yellow",
    "refused": "yellow",
    "unknown": "bold yellow",
    "canceled": "yellow",
    "rejected": "red",
}


def to_dict(event: Event) -> dict[str, Any]:
    """An event as JSON-ready data: ``event`` names its kind, ``time`` is UTC, empty fields are left out."""
    when = datetime.fromtimestamp(event.time_ns // 1_000_000_000, UTC)
    result: dict[str, Any] = {
        "event": _KINDS[type(event)],
        "time": f"{when:%Y-%m-%dT%H:%M:%S}.{event.time_ns % 1_000_000_000:09d}Z",
    }
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, bytes):
            value = value.hex()
        elif isinstance(value, Exception):
            value = f"{type(value).__name__}: {reason(value)}"
        if value not in ("", None, ()):
            result[field.name] = value
    return result


def to_json(event: Event) -> str:
    """An event as one line of JSON."""
    return orjson.dumps(to_dict(event)).decode()


def clock(time_ns: int) -> str:
    """Local time of day with milliseconds."""
    return f"{datetime.fromtimestamp(time_ns // 1_000_000_000):%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"


def duration(ns: int) -> str:
    """Nanoseconds in the unit that reads best: 812 ns, 4.31 us, 2.06 ms, 1.5 s."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if ns >= size:
            value = ns / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{ns} ns"


def describe(event: Event) -> Text:
    """An event in one line."""
    line = Text(clock(event.time_ns) + "  ", no_wrap=True)
    if isinstance(event, PeerEvent):
        line.append(f"peer     {event.address} ").append(event.state, _STYLES.get(event.state, ""))
        if event.state == "ready":
            line.append(f" {event.user_agent} {event.protocol_version}")
    elif isinstance(event, VenueEvent):
        line.append(f"venue    {event.venue} ").append(event.state, _STYLES.get(event.state, ""))
        if event.state == "ready":
            line.append(f" round trip {duration(event.round_trip_ns)}, clock {event.clock_offset_ns / 1e6:+.1f} ms")
    elif isinstance(event, Signal):
        line.append(_signal_detail(event))
    elif isinstance(event, WatchEvent):
        line.append(f"watch    {event.scripts:,} scripts of {event.labels:,} owners are in use now")
    else:
        line.append(f"order    {event.client_id} ").append(event.state, _STYLES.get(event.state, ""))
        line.append(_order_detail(event))
    if isinstance(event, PeerEvent | VenueEvent) and event.error is not None:
        line.append(f": {reason(event.error)}")
    return line


def reason(error: Exception) -> str:
    """What went wrong, without Python's ornaments: ``Connection refused (connect)``."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error)


def _signal_detail(event: Signal) -> str:
    if isinstance(event, ReplacementEvent):
        return f"replaced {event.replaces} by {event.txid}"
    amount = f"{format_btc(event.amount_sat)} BTC"
    if isinstance(event, RevokedEvent):
        rules = f", ordered for by {', '.join(event.rules)}" if event.rules else ""
        return f"revoked  {amount} to {event.label}{rules}  {event.replaces} by {event.txid}"
    if isinstance(event, DepositEvent):
        sender = f" from {', '.join(event.senders)}" if event.senders else ""
        what = f"deposit  {amount}{sender} to {event.label}"
    elif isinstance(event, WithdrawalEvent):
        recipient = f" to {', '.join(event.recipients)}" if event.recipients else ""
        what = f"withdraw {amount} from {event.label}{recipient}"
    elif isinstance(event, InternalEvent):
        what = f"internal {amount} within {event.label}"
    else:
        what = f"whale    {amount} from nobody known to nobody known"
    return f"{what}  {event.txid}{_doubt(event)}"


def _doubt(event: DepositEvent | WithdrawalEvent | InternalEvent | WhaleEvent) -> str:
    """How much of the inputs is in the dark: ``  1 of 2 senders unknown (taproot)``; nothing where all is known."""
    unknown = event.inputs - event.inputs_known
    if not unknown:
        return ""
    why = " (taproot)" if event.inputs_taproot == unknown else f" ({event.inputs_taproot} taproot)"
    return f"  {unknown} of {event.inputs} senders unknown{why if event.inputs_taproot else ''}"


def _order_detail(event: OrderEvent) -> str:
    if event.state in {"sent", "dry_run"}:
        total = f" after {duration(event.stages['total'])}" if event.stages else ""
        return f" {event.quantity} on {event.venue} for {format_btc(event.amount_sat)} BTC{total}"
    if event.state in {"refused", "rejected", "unknown"}:
        return f": {event.reason or event.error_class} {event.text}".rstrip()
    return f" {event.filled} after {duration(event.reply_ns)}".replace("  ", " ")


class Journal:
    """Appends events to a JSONL file, each written whole before the next; use it with ``with``.

    A line that was torn, by a full disk say, is ended before the next one begins.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._torn = False
        if self._file.seek(0, os.SEEK_END) > 0:
            self._file.seek(-1, os.SEEK_END)
            self._torn = self._file.read(1) != b"\n"

    def write(self, event: Event) -> None:
        """Appends one event. Raises OSError if not all of it could be written."""
        line = orjson.dumps(to_dict(event), option=orjson.OPT_APPEND_NEWLINE)
        left = memoryview(b"\n" + line if self._torn else line)
        self._torn = True
        while left:
            left = left[self._file.write(left) :]
        self._torn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
