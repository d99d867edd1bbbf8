"""Exchanges as data: one file each, read by the engine, which knows no exchange by name.

A venue file defines one ``Venue``, named like the file in capitals. What is written there are texts: order templates
with ``${name}`` where a value goes, paths into the JSON replies, error codes and what they mean. Values are

- constants, bound before the connection opens: the venue's own, ``api_key``, and of the order ``symbol``, ``side``,
  ``type``, ``price``, ``time_in_force``;
- slots, filled for every message: ``client_id`` (text), ``quantity`` (decimal), ``timestamp``, ``signature``.

A placeholder that is neither is an error when the template is compiled.

The JSON ``id`` of an order request is its client id, of a query ``q-`` and the client id, of the server time ``time``,
of the user data subscription ``user``: replies are matched by it.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from hftcore.errors import ConfigError
from hftcore.events import OrderState
from hftcore.orders import OrderTemplate

__all__ = [
    "Credentials",
    "ErrorClass",
    "ErrorRule",
    "Order",
    "ReplyPaths",
    "Slot",
    "Template",
    "Venue",
    "get",
]

SlotKind = Literal[
    "uint", "decimal", "decimal_trimmed", "timestamp", "rfc3339", "text", "signature_hex", "signature_base64"
]

NOTIONAL_SCALE = 8
_CONSTANT = re.compile(r"[A-Za-z0-9_.-]+")
_PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]{0,22})\}")
_DECIMAL = re.compile(r"(0|[1-9]\d{0,9})(\.\d{1,8})?", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PATH = re.compile(r"[A-Za-z0-9_-]{1,31}(\.[A-Za-z0-9_-]{1,31}){0,3}")
_U64_MAX = (1 << 64) - 1


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_amount(value: str, what: str) -> None:
    _require(
        isinstance(value, str) and _DECIMAL.fullmatch(value) is not None and Decimal(value) > 0,
        f'{what} {value!r}: a positive decimal in quotes, such as "0.01"; up to 10 digits before the point, 8 behind',
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a template that is filled for every message; see ``hftcore.orders`` for the kinds.

    scale: decimals: digits behind the point; times: power of ten of the unit in ns (6 = ms). max_len: text: bytes.
    charset: text: what it may be of ("" = A-Z a-z 0-9 _ . -). of: the slot whose value is written here once more.
    """

    kind: SlotKind
    scale: int = 0
    max_len: int = 0
    charset: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A message, and the text that is signed for it ("" = unsigned); ``${name}`` in both marks a value."""

    message: str
    signed: str = ""
    slots: Mapping[str, Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in (self.message, self.signed):
            _require("${" not in _PLACEHOLDER.sub("", text), f"template: malformed ${{name}} in {text!r}")
        for name in self.slots:
            _require(name in self.placeholders, f"template: slot {name} is never used; remove it or write ${{{name}}}")
        object.__setattr__(self, "slots", MappingProxyType(dict(self.slots)))

    @property
    def placeholders(self) -> frozenset[str]:
        """The names that occur as ``${name}``."""
        return frozenset(_PLACEHOLDER.findall(self.message + self.signed))

    def bind(self, **constants: str) -> Template:
        """The template with these names replaced by literal text, of ``[A-Za-z0-9_.-]`` only. Raises ConfigError."""
        for name, value in constants.items():
            _require(
                name in self.placeholders, f"template: nothing to bind to {name}; it has {sorted(self.placeholders)}"
            )
            _require(
                isinstance(value, str) and _CONSTANT.fullmatch(value) is not None,
                f"template: the value of {name} must be text of A-Z a-z 0-9 _ . -",
            )

        def literal(match: re.Match[str]) -> str:
            return constants.get(match[1], match[0])

        return Template(
            _PLACEHOLDER.sub(literal, self.message),
            _PLACEHOLDER.sub(literal, self.signed),
            {name: slot for name, slot in self.slots.items() if name not in constants},
        )

    def compile(self, secret: bytes = b"") -> OrderTemplate:
        """Ready to be filled. Raises ConfigError for a name neither bound nor a slot, and what OrderTemplate raises."""
        missing = sorted(self.placeholders - set(self.slots))
        _require(not missing, f"template: {', '.join(missing)} is neither bound nor a slot")
        return OrderTemplate(self.message, self.signed, slots=self.slots, secret=secret)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyPaths:
    """Where the parts of a reply are: object keys joined by dots, at most four; "" = the venue has no such part.

    status: of the request, a number. retry_after: Unix milliseconds. event_*: in messages about the user's orders that
    nobody asked for; event_original_id: of the order, where event_client_id is that of the request to cancel it.
    """

    id: str
    status: str = ""
    error_code: str = ""
    error_message: str = ""
    retry_after: str = ""
    order_id: str = ""
    order_status: str = ""
    filled: str = ""
    server_time: str = ""
    event_type: str = ""
    event_client_id: str = ""
    event_original_id: str = ""
    event_order_id: str = ""
    event_order_status: str = ""
    event_filled: str = ""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            path = getattr(self, name)
            _require(
                _PATH.fullmatch(path) is not None or (path == "" and name != "id"),
                f"reply path {name} {path!r}: one to four keys joined by dots, each at most 31 of A-Z a-z 0-9 _ -",
            )


class ErrorClass(StrEnum):
    """What an error means to the one who sent the order."""

    CLOCK = "clock"  # our timestamp was outside of the window: measure the offset again
    AUTH = "auth"  # key, signature or permission: stop
    RATE_LIMIT = "rate_limit"  # too many requests: wait
    ORDER_LIMIT = "order_limit"  # too many orders: wait, or close some
    FILTER = "filter"  # price, quantity or notional breaks the symbol's rules: correct it
    DUPLICATE = "duplicate"  # the client order id is in use: the order is already there
    FUNDS = "funds"  # balance too small
    UNKNOWN_ORDER = "unknown_order"  # no such order
    WOULD_CROSS = "would_cross"  # a post-only order would have traded
    OUTCOME_UNKNOWN = "outcome_unknown"  # may have been executed: ask by client order id, never send again
    HALTED = "halted"  # the market is closed
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Gives an error its class: code must be equal, and text, where given, occur in the message."""

    code: int
    error_class: ErrorClass
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What to send, with all numbers as decimal text, written to the venue as they stand.

    quantity: of the base asset. price: LIMIT only. notional: value in the quote currency, for the risk gate; a LIMIT
    order has it from price and quantity, a MARKET order must say it. Raises ConfigError.
    """

    symbol: str
    side: Literal["BUY", "SELL"]
    type: Literal["MARKET", "LIMIT"]
    quantity: str
    price: str | None = None
    time_in_force: Literal["GTC", "IOC", "FOK"] = "GTC"
    notional: str | None = None

    def __post_init__(self) -> None:
        _require(
            _SYMBOL.fullmatch(self.symbol) is not None, f"order symbol {self.symbol!r}: 1 to 32 of A-Z a-z 0-9 _ . -"
        )
        _require(self.side in ("BUY", "SELL"), f"order side {self.side!r}: BUY or SELL")
        _require(self.type in ("MARKET", "LIMIT"), f"order type {self.type!r}: MARKET or LIMIT")
        _require(
            self.time_in_force in ("GTC", "IOC", "FOK"), f"order time_in_force {self.time_in_force!r}: GTC, IOC or FOK"
        )
        _require_amount(self.quantity, "order quantity")
        if self.type == "LIMIT":
            _require(self.price is not None, "order price: a LIMIT order needs one")
            _require(self.notional is None, "order notional: a LIMIT order has price times quantity; leave it out")
        else:
            _require(self.price is None, "order price: a MARKET order has none; leave it out or make it a LIMIT order")
            _require(
                self.notional is not None,
                "order notional: say what a MARKET order is worth in the quote currency, for the risk gate",
            )
        if self.price is not None:
            _require_amount(self.price, "order price")
        if self.notional is not None:
            _require_amount(self.notional, "order notional")
        _require(self.notional_scaled <= _U64_MAX, "order notional: too large; check price and quantity")

    @property
    def notional_scaled(self) -> int:
        """The notional in units of 10**-8 of the quote currency, rounded up."""
        if self.notional is not None:
            value = Decimal(self.notional)
        else:
            value = Decimal(self.price or 0) * Decimal(self.quantity)
        return int(value.scaleb(NOTIONAL_SCALE).to_integral_value(ROUND_CEILING))

    def quantity_scaled(self, scale: int) -> int:
        """The quantity in units of 10**-scale; ConfigError if it has more digits than that."""
        value = Decimal(self.quantity).scaleb(scale)
        _require(value == value.to_integral_value(), f"order quantity {self.quantity!r}: more than {scale} decimals")
        _require(value <= _U64_MAX, f"order quantity {self.quantity!r}: too large")
        return int(value)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key and its secret. Neither shows in the repr."""

    api_key: str = field(repr=False)
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require(
            isinstance(self.api_key, str) and _CONSTANT.fullmatch(self.api_key) is not None,
            "API key: text of A-Z a-z 0-9 _ . -; look for quotes or white space around it",
        )
        _require(
            isinstance(self.secret, bytes) and self.secret != b"" and self.secret.strip() == self.secret,
            "API secret: bytes, not empty, without white space around it",
        )

    @classmethod
    def from_env(cls, prefix: str) -> Credentials:
        """From the variables HFT_<PREFIX>_API_KEY and HFT_<PREFIX>_API_SECRET; ConfigError names the missing one."""
        values = []
        for suffix in ("API_KEY", "API_SECRET"):
            name = f"HFT_{prefix.upper()}_{suffix}"
            value = os.environ.get(name)
            if not value:
                raise ConfigError(f"environment variable {name} is not set: export it before the start")
            values.append(value)
        return cls(values[0], values[1].encode())


@dataclass(frozen=True, kw_only=True, slots=True)
class Venue:
    """One exchange.

    orders: template by order type. constants: values of the venue's own placeholders, such as a receive window; another
    value by ``dataclasses.replace(venue, constants={...})``. replies: where to look. order_states: the venue's word for
    an order's status -> ours. errors: the first rule that fits counts. open_outcome_status: a reply with this status or
    a higher one leaves open whether the order was executed (0 = the venue has none). placement_max_ms: an older order
    is placed or never will be (receive window and matching time-out together): earlier, "no such order" is not
    believed. presign_window_ms: the oldest timestamp that an order signed ahead may have when it leaves; less than the
    venue's receive window, and at least 10 (0 = they cannot be signed ahead). order_event, shutdown_event,
    stream_end_event (no news of orders will come unless subscribed to again): found at ``replies.event_type``.
    quantity_scale: decimals of the quantity slot. client_id_max: longest client order id.
    """

    name: str
    url: str
    testnet_url: str
    orders: Mapping[str, Template]
    order_query: Template
    server_time: Template
    user_stream: Template | None
    replies: ReplyPaths
    order_states: Mapping[str, OrderState]
    errors: tuple[ErrorRule, ...]
    order_event: str
    shutdown_event: str
    stream_end_event: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    open_outcome_status: int = 500
    placement_max_ms: int = 15_000
    presign_window_ms: int = 0
    quantity_scale: int = 8
    client_id_max: int = 36

    def __post_init__(self) -> None:
        _require(_NAME.fullmatch(self.name) is not None, f"venue name {self.name!r}: a-z 0-9 _, at most 32")
        for url in (self.url, self.testnet_url):
            _require(url.startswith("wss://"), f"venue {self.name}: url {url!r} must begin with wss://")
        _require(
            self.presign_window_ms == 0 or 10 <= self.presign_window_ms <= 3_600_000,
            f"venue {self.name}: presign_window_ms {self.presign_window_ms}: 10 to 3600000, or 0",
        )
        for kind, template in self.orders.items():
            what = f"venue {self.name}: {kind} order"
            _require(kind in ("MARKET", "LIMIT"), f"{what}: the types are MARKET and LIMIT")
            _require(
                template.slots.get("client_id") == Slot("text", max_len=self.client_id_max),
                f"{what}: needs a text slot client_id with max_len = client_id_max",
            )
            _require(
                template.slots.get("quantity") == Slot("decimal", scale=self.quantity_scale),
                f"{what}: needs a decimal slot quantity with scale = quantity_scale",
            )
        for name in ("orders", "order_states", "constants"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def _compile(self, template: Template, credentials: Credentials | None, **constants: str) -> OrderTemplate:
        known = {**self.constants, **constants}
        secret = b""
        if credentials is not None:
            known["api_key"] = credentials.api_key
            secret = credentials.secret if template.signed else b""
        return template.bind(**{name: known[name] for name in template.placeholders & known.keys()}).compile(secret)

    def order_template(self, order: Order, credentials: Credentials) -> OrderTemplate:
        """The template that places this order; its slots are client_id, quantity, timestamp and a signature."""
        template = self.orders.get(order.type)
        if template is None:
            raise ConfigError(f"venue {self.name} takes no {order.type} orders, only {', '.join(self.orders)}")
        names = ("symbol", "side", "type", "price", "time_in_force")
        constants = {name: value for name in names if (value := getattr(order, name)) is not None}
        return self._compile(template, credentials, **constants)

    def query_template(self, order: Order, credentials: Credentials) -> OrderTemplate:
        """The template that asks for the state of this order by its client id."""
        return self._compile(self.order_query, credentials, symbol=order.symbol)

    def time_template(self) -> OrderTemplate:
        """The template that asks for the venue's time."""
        return self._compile(self.server_time, None)

    def user_stream_template(self, credentials: Credentials) -> OrderTemplate | None:
        """The template that subscribes to events on the user's orders; None if the venue needs none."""
        return None if self.user_stream is None else self._compile(self.user_stream, credentials)

    def classify(self, code: int, message: str = "", status: int = 0) -> ErrorClass:
        """What an error reply means."""
        for rule in self.errors:
            if rule.code == code and rule.text in message:
                return rule.error_class
        if self.open_outcome_status and status >= self.open_outcome_status:
            return ErrorClass.OUTCOME_UNKNOWN
        return ErrorClass.OTHER


def get(name: str) -> Venue:
    """The venue of this name. Raises ConfigError, which lists those there are."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in names:
        raise ConfigError(f"no venue {name!r}; there are: {', '.join(names)}")
    venue = getattr(importlib.import_module(f"{__name__}.{name}"), name.upper())
    assert isinstance(venue, Venue)
    return venue
