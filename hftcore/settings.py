"""What an Engine is told before it starts: plain, frozen, checked data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from hftcore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from hftcore.venues import Order

MAX_RULES = 64
_RULE_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When to send which order.

    name: 1 to 24 of ``[A-Za-z0-9_-]``, unique. The client order id is derived from the rule's number, in the order in
    which rules were added, and the txid.
    venue: name of a venue added to the engine.
    order: what is sent.
    labels: the watched owners that count, None = every watched script.
    min_sat: least amount, in satoshi, paid to one watched script.
    internal: acts on moves within one house, too: transactions in which an owner that counts pays nobody but itself.
    certain_only: acts only where every input's owner is known. By default a sender that stays unknown, behind taproot
    say, may as well be the owner itself. Either way a deposit whose inputs show its own owner is none.
    min_peers: acts once peers of so many network groups have announced the transaction, 1 to 16. 1 is the fastest, and
    believes the one peer that sent it.
    cooldown_ms: the rule stays silent this long after each order.
    presign: keeps orders ready that are signed ahead of the signal. It saves the signature's time between signal and
    order, and gives up the client order id that is derived from the signal (docs/design/orders.md says what that is
    for): the id is then a serial number.
    """

    name: str
    venue: str
    order: Order
    min_sat: int
    labels: AbstractSet[str] | None = None
    internal: bool = False
    certain_only: bool = False
    min_peers: int = 1
    cooldown_ms: int = 0
    presign: bool = False

    def __post_init__(self) -> None:
        _require(_RULE_NAME.fullmatch(self.name) is not None, f"rule name {self.name!r}: 1 to 24 of A-Z a-z 0-9 _ -")
        _require(self.min_sat > 0, f"rule {self.name}: min_sat must be positive")
        _require(self.labels is None or bool(self.labels), f"rule {self.name}: labels must not be empty (None = any)")
        _require(1 <= self.min_peers <= 16, f"rule {self.name}: min_peers: 1 to 16")
        _require(0 <= self.cooldown_ms < 1 << 40, f"rule {self.name}: cooldown_ms out of range")


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskLimits:
    """The gate every order passes (per engine). The defaults are deliberately small.

    burst: orders at once; refill_ms: one more is allowed each so many milliseconds.
    window_s: length of the sliding window in which at most window_orders orders (1 to 1024) and window_notional
    (decimal text, in the quote currency) may leave.
    """

    burst: int = 1
    refill_ms: int = 1000
    window_s: int = 3600
    window_orders: int = 10
    window_notional: str = "1000"

    def __post_init__(self) -> None:
        _require(1 <= self.burst <= 1024, "burst: 1 to 1024")
        _require(1 <= self.refill_ms < 1 << 40, "refill_ms must be positive")
        _require(1 <= self.window_s < 1 << 32, "window_s must be positive")
        _require(1 <= self.window_orders <= 1024, "window_orders: 1 to 1024")
        _require(
            re.fullmatch(r"\d{1,10}(\.\d{1,8})?", self.window_notional) is not None,
            'window_notional: a decimal in quotes such as "2500.50", at most 8 decimals',
        )

    @property
    def window_notional_scaled(self) -> int:
        """window_notional in units of 10**-8 of the quote currency, as hftcore.venues.Order.notional_scaled."""
        return int(Decimal(self.window_notional).scaleb(8))


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLimits:
    """Sizes and times; all memory is taken once, when the engine starts.

    event_queue: events kept for Python, a power of two; when it is full no order is sent (events_full).
    seen_cap: announcements remembered, a power of two; the oldest are forgotten first.
    inputs: of one transaction, whose owners are recovered; further ones count as unknown. The default is more than a
    transaction that nodes relay can have.
    outpoints: recent outpoints remembered, a power of two, 24 bytes each; the oldest are forgotten first. 0: none, so
    replacements go unnoticed.
    message_max: longest Bitcoin message accepted, bytes (protocol: 4,000,000).
    venue_message_max: longest WebSocket message accepted from a venue, bytes.
    pending_orders: orders without a final answer, at most.
    request_timeout_ms: after this a transaction is asked of its next announcer.
    announce_timeout_ms: so long an order waits for the peers that its rule wants (Rule.min_peers).
    connect_timeout_ms: for TCP.
    handshake_timeout_ms, venue_handshake_timeout_ms: for everything up to ready, of a peer and of a venue.
    ping_interval_ms, idle_timeout_ms: a peer or venue silent for the second is dropped.
    order_timeout_ms: an order unanswered for so long is `unknown` and asked for.
    backoff_min_ms, backoff_max_ms: reconnect delay, doubling, with jitter.
    """

    event_queue: int = 4096
    seen_cap: int = 65536
    inputs: int = 2500
    outpoints: int = 4_194_304
    message_max: int = 4_000_000
    venue_message_max: int = 65536
    pending_orders: int = 256
    request_timeout_ms: int = 250
    announce_timeout_ms: int = 10_000
    connect_timeout_ms: int = 10_000
    handshake_timeout_ms: int = 60_000
    ping_interval_ms: int = 120_000
    idle_timeout_ms: int = 1_200_000
    venue_handshake_timeout_ms: int = 30_000
    venue_ping_interval_ms: int = 10_000
    venue_idle_timeout_ms: int = 30_000
    order_timeout_ms: int = 10_000
    backoff_min_ms: int = 250
    backoff_max_ms: int = 60_000

    def __post_init__(self) -> None:
        for name, least in (("event_queue", 256), ("seen_cap", 8192)):
            value = getattr(self, name)
            _require(
                least <= value <= 1 << 24 and value & (value - 1) == 0, f"{name}: a power of two, {least} to 2**24"
            )
        _require(
            self.outpoints == 0 or (1024 <= self.outpoints <= 1 << 24 and self.outpoints & (self.outpoints - 1) == 0),
            "outpoints: a power of two, 1024 to 2**24, or 0",
        )
        _require(0 <= self.inputs <= 100_000, "inputs: 0 to 100000")
        _require(1024 <= self.message_max <= 4_000_000, "message_max: 1024 to 4000000")
        _require(1024 <= self.venue_message_max <= 1 << 24, "venue_message_max: 1024 to 2**24")
        _require(1 <= self.pending_orders <= 4096, "pending_orders: 1 to 4096")
        for name in self.__dataclass_fields__:
            if name.endswith("_ms"):
                _require(1 <= getattr(self, name) <= 86_400_000, f"{name}: 1 ms to one day")
        _require(self.backoff_min_ms <= self.backoff_max_ms, "backoff_min_ms must not exceed backoff_max_ms")
