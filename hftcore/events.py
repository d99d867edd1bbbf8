"""What an Engine reports. Times are Unix nanoseconds, amounts satoshi, hashes hex in display order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hftcore.errors import HftError

PeerState = Literal["connecting", "ready", "lost"]
VenueState = Literal["connecting", "ready", "lost"]
OrderState = Literal[
    "sent", "dry_run", "refused", "acknowledged", "partially_filled", "filled", "canceled", "rejected", "unknown"
]
# What happens to a transaction on its way to an order, in this order.
#   queue: from the moment its bytes were reaped until it is its turn (earlier messages of the same receive)
#   parse: structure, outputs, watch table     verify: double hash, wtxid, checksum, and txid on a match
#   decide: duplicates, rules, risk gate       build: fill, sign, frame and mask
#   encrypt: TLS record                        submit: the system call that sends it
STAGES = ("queue", "parse", "verify", "decide", "build", "encrypt", "submit")


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """A Bitcoin peer changed its state. error: why it was lost (never raised by itself)."""

    time_ns: int
    peer: int
    address: str
    state: PeerState
    user_agent: str = ""
    protocol_version: int = 0
    error: HftError | OSError | None = None


@dataclass(frozen=True, slots=True)
class VenueEvent:
    """A venue connection changed its state. resumed: TLS session resumed; clock_offset_ns: venue's clock minus ours."""

    time_ns: int
    venue: str
    state: VenueState
    resumed: bool = False
    clock_offset_ns: int = 0
    round_trip_ns: int = 0
    error: HftError | OSError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositEvent:
    """A transaction pays a watched script, and its inputs do not show the script's owner.

    amount_sat: the sum over its outputs to that one script; output: index of the first of them. label: the script's
    owner; senders: watched owners among the inputs.
    inputs: how many there are; inputs_known: of them, those whose owner the transaction itself shows, watched or not;
    inputs_taproot: those whose owner taproot hides. certain: every input's owner is known, so this is no change.
    stages: ns per stage since the bytes arrived, keys queue, parse, verify.
    """

    time_ns: int
    txid: str
    wtxid: str
    amount_sat: int
    label: str
    output: int
    peer: int
    certain: bool
    inputs: int
    inputs_known: int
    inputs_taproot: int
    senders: tuple[str, ...] = ()
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalEvent:
    """A watched owner spends, and pays others.

    amount_sat: the sum over all outputs but those to the owner's own watched scripts; change to an unwatched script
    counts as paid. label: who spends; recipients: watched owners among those who are paid. inputs_own: inputs that
    are the owner's; certain: all are. The rest: as in DepositEvent.
    """

    time_ns: int
    txid: str
    wtxid: str
    amount_sat: int
    label: str
    peer: int
    certain: bool
    inputs: int
    inputs_own: int
    inputs_known: int
    inputs_taproot: int
    recipients: tuple[str, ...] = ()
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalEvent:
    """A watched owner spends, and pays nobody but itself.

    amount_sat: the sum over all outputs. The rest: as in WithdrawalEvent.
    """

    time_ns: int
    txid: str
    wtxid: str
    amount_sat: int
    label: str
    peer: int
    certain: bool
    inputs: int
    inputs_own: int
    inputs_known: int
    inputs_taproot: int
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhaleEvent:
    """A transaction pays at least `whale_min_sat` to a script that is not watched, and no watched owner spends.

    amount_sat: the largest such output. certain: every input's owner is known, and is not watched. The rest: as in
    DepositEvent.
    """

    time_ns: int
    txid: str
    wtxid: str
    amount_sat: int
    peer: int
    certain: bool
    inputs: int
    inputs_known: int
    inputs_taproot: int
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementEvent:
    """A transaction spends what one that was seen before has spent: at most one of the two can be confirmed.

    replaces: the earlier one's txid; outpoints: how many both spend. stages: as in DepositEvent.
    """

    time_ns: int
    txid: str
    wtxid: str
    replaces: str
    outpoints: int
    peer: int
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedEvent:
    """A transaction replaces a deposit and no longer pays it.

    amount_sat: what the earlier transaction, `replaces`, paid to the owner `label` in deposits that were reported or
    ordered for; left_sat: what this one still pays, too little to be reported or to satisfy the rules. rules: those
    that ordered for the earlier transaction, or for one that it had replaced. stages: as in DepositEvent.
    """

    time_ns: int
    txid: str
    wtxid: str
    replaces: str
    label: str
    amount_sat: int
    left_sat: int
    peer: int
    rules: tuple[str, ...] = ()
    stages: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An order's life. Exactly one of sent, dry_run or refused begins it.

    client_id: derived from the rule's number and the txid, so the same signal can never order twice.
    reason: refused, unknown: the error's name. error_class, code, text: rejected: what the venue said; see
    hftcore.venues.ErrorClass.
    filled: cumulative filled quantity as the venue writes it. stages: ns per stage since the bytes arrived (sent and
    dry_run only), keys as STAGES, plus "total". reply_ns: acknowledged, filled...: time since the order was sent.
    """

    time_ns: int
    state: OrderState
    rule: str
    venue: str
    client_id: str
    txid: str
    amount_sat: int
    quantity: str = ""
    venue_order_id: str = ""
    filled: str = ""
    reason: str = ""
    error_class: str = ""
    code: int = 0
    text: str = ""
    reply_ns: int = 0
    stages: dict[str, int] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """From here on the table that Engine.replace_watch() was given is in use. scripts, labels: how many it has."""

    time_ns: int
    scripts: int
    labels: int


# What a transaction is.
Signal = DepositEvent | WithdrawalEvent | InternalEvent | WhaleEvent | ReplacementEvent | RevokedEvent
Event = PeerEvent | VenueEvent | Signal | OrderEvent | WatchEvent


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency distribution in nanoseconds (buckets are at most 1.6 % wide; max and min are exact)."""

    count: int
    min: int
    mean: int
    p50: int
    p90: int
    p99: int
    p999: int
    max: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since start; all only grow, but for the `_now` ones."""

    transactions: int = 0  # distinct transactions received
    duplicates: int = 0  # received again
    unrequested: int = 0  # received without having been asked for: dropped
    malformed: int = 0  # transactions that do not parse
    deposits: int = 0
    withdrawals: int = 0
    internals: int = 0  # moves within one house
    whales: int = 0
    replacements: int = 0
    revoked: int = 0
    orders_sent: int = 0
    orders_dry_run: int = 0
    orders_refused: int = 0
    orders_acknowledged: int = 0
    orders_filled: int = 0
    orders_canceled: int = 0
    orders_rejected: int = 0
    orders_unknown_now: int = 0
    events_dropped: int = 0  # informational events only; orders are refused before one of theirs is lost
    messages_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    checksum_errors: int = 0
    reconnects: int = 0
    peers_ready_now: int = 0
    venues_ready_now: int = 0
    sockets_now: int = 0
    memory_now: int = 0  # bytes held by the C core
    loops: int = 0
    inbound_refused: int = 0  # peers that dialled us while all places were taken
