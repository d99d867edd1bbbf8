"""A simulated Binance spot exchange: the WebSocket API over TLS, with a server and a signature check we did not write.

`websockets` speaks RFC 6455, `ssl` speaks TLS, the standard library's hmac verifies every signature: nothing here
shares code with hftcore. Replies and events have the documented shapes (binance-spot-api-docs: web-socket-api.md,
user-data-stream.md, errors.md, filters.md). Every order that arrives is recorded, accepted or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http
import json
import random
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Fault = Literal[
    "close",
    "reset",
    "stall",
    "garbage",
    "masked_frame",
    "slow_reply",
    "drop_reply",
    "outcome_unknown",
    "shutdown_event",
]
PATH = "/ws-api/v3"
_CLIENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
_DECIMAL = re.compile(r"\d{1,20}(\.\d{1,20})?")
_SIDES, _TIMES_IN_FORCE = {"BUY", "SELL"}, {"GTC", "IOC", "FOK"}
_MARKET_PRICE = Decimal("60000.00")  # what market orders fill at


@dataclass(frozen=True, slots=True)
class Symbol:
    """A market and its filters (LOT_SIZE, PRICE_FILTER, NOTIONAL)."""

    name: str
    base: str
    quote: str
    step: Decimal = Decimal("0.00001")
    min_qty: Decimal = Decimal("0.00001")
    max_qty: Decimal = Decimal("9000")
    tick: Decimal = Decimal("0.01")
    min_notional: Decimal = Decimal("5")


SYMBOLS = {
    symbol.name: symbol
    for symbol in (Symbol("BTCUSDT", "BTC", "USDT"), Symbol("BTCUSDC", "BTC", "USDC"), Symbol("ETHUSDT", "ETH", "USDT"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSettings:
    """How the simulated exchange behaves.

    reject_share: orders refused for lack of funds (-2010); partial_share: filled in two steps. Both are decided from
    seed and client order id, so a run repeats. fill_delay_s: from the order to its fill. events: whether fills are
    reported on the user data stream (else only order.status tells). reply_delay_s: for slow_reply. order_limit: orders
    per 10 s before -1015. clock_offset_ms: the exchange's clock minus ours. fault: done once `fault_after` orders were
    received, `fault_times` times.
    """

    api_key: str
    secret: str
    reject_share: float = 0.0
    partial_share: float = 0.0
    fill_delay_s: float = 0.002
    events: bool = True
    reply_delay_s: float = 1.0
    ping_s: float = 20.0
    order_limit: int = 100_000
    clock_offset_ms: int = 0
    fault: Fault | None = None
    fault_after: int = 0
    fault_times: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReceivedOrder:
    """An order.place request as it arrived. code: 0 = accepted, else Binance's error code."""

    client_id: str
    symbol: str
    side: str
    type: str
    quantity: str
    price: str
    code: int = 0
    message: str = ""


class ApiError(Exception):
    """A refusal in Binance's terms."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(slots=True)
class _Order:
    """An accepted order and how far it is filled."""

    params: dict[str, Any]
    symbol: Symbol
    order_id: int
    quantity: Decimal
    price: Decimal
    time_ms: int
    status: str = "NEW"
    filled: Decimal = Decimal(0)

    @property
    def client_id(self) -> str:
        return str(self.params["newClientOrderId"])

    @property
    def is_open(self) -> bool:
        return self.status in {"NEW", "PARTIALLY_FILLED"}


@dataclass(slots=True)
class _Session:
    """One WebSocket connection."""

    ws: ServerConnection
    subscription: int | None = None
    stalled: bool = False


@dataclass(slots=True)
class VenueCounters:
    """What the exchange saw; all only grow."""

    connections: int = 0
    requests: int = 0
    filled: int = 0
    faults: int = 0
    problems: list[str] = field(default_factory=list)


def sign(secret: str, params: dict[str, Any]) -> str:
    """The signature Binance expects: hex HMAC-SHA256 over ``name=value`` sorted by name and joined with ``&``."""
    text = "&".join(f"{name}={_text(value)}" for name, value in sorted(params.items()) if name != "signature")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


class Binance:
    """The exchange. start() listens; orders holds all that was ever received, in order."""

    def __init__(self, settings: VenueSettings, context: ssl.SSLContext | None) -> None:
        self.settings = settings
        self.orders: list[ReceivedOrder] = []
        self.counters = VenueCounters()
        self.port = 0
        self.faults_left = settings.fault_times if settings.fault else 0
        self._context = context
        self._server: Server | None = None
        self._sessions: list[_Session] = []
        self._book: dict[str, _Order] = {}
        self._placed: list[float] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_order_id = 12_569_099_453
        self._next_trade_id = 4_000_001

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'wss' if self._context else 'ws'}://localhost:{self.port}{PATH}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens; returns the port."""
        self._server = await serve(
            self._run, host, port, ssl=self._context, process_request=self._check_path, compression=None,
            ping_interval=self.settings.ping_s, ping_timeout=60, max_size=65536, server_header=None,
        )  # fmt: skip
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Closes every connection and stops listening."""
        for task in list(self._tasks):
            task.cancel()
        for session in self._sessions:
            if session.stalled:  # it would not answer the close handshake
                session.ws.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def now_ms(self) -> int:
        """The exchange's clock."""
        return time.time_ns() // 1_000_000 + self.settings.clock_offset_ms

    @staticmethod
    def _check_path(connection: ServerConnection, request: Request) -> Response | None:
        if request.path.partition("?")[0] == PATH:
            return None
        return connection.respond(http.HTTPStatus.NOT_FOUND, "no such endpoint\n")

    async def _run(self, ws: ServerConnection) -> None:
        self.counters.connections += 1
        ws.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = _Session(ws)
        self._sessions.append(session)
        try:
            async for message in ws:
                await self._receive(session, message)
        except ConnectionClosed:
            pass
        finally:
            self._sessions.remove(session)

    async def _receive(self, session: _Session, message: str | bytes) -> None:
        self.counters.requests += 1
        request_id: Any = None
        try:
            if isinstance(message, bytes):
                raise ApiError(-1000, "Binary frames are not accepted.")
            try:
                request = json.loads(message, parse_float=Decimal)
            except ValueError:
                raise ApiError(-1135, "Malformed request.") from None
            if not isinstance(request, dict):
                raise ApiError(-1135, "Malformed request.")
            request_id = request.get("id")
            params = request.get("params", {})
            if not isinstance(params, dict):
                raise ApiError(-1135, "Malformed request.")
            await self._dispatch(session, request_id, request.get("method"), params)
        except ApiError as error:
            self.counters.problems.append(f"{error.code} {error.message}")
            await self._reply(session, request_id, error.status, error={"code": error.code, "msg": error.message})

    async def _dispatch(self, session: _Session, request_id: Any, method: Any, params: dict[str, Any]) -> None:
        if method == "order.place":
            await self._place(session, request_id, params)
            return
        handler: Callable[[_Session, dict[str, Any]], dict[str, Any]] | None = {
            "ping": lambda _session, _params: {},
            "time": lambda _session, _params: {"serverTime": self.now_ms()},
            "order.status": self._status,
            "order.cancel": self._cancel,
            "userDataStream.subscribe.signature": self._subscribe,
        }.get(method)
        if handler is None:
            raise ApiError(-1104, f"Unknown method '{method}'.")
        await self._reply(session, request_id, 200, result=handler(session, params))

    async def _reply(self, session: _Session, request_id: Any, status: int, **body: Any) -> None:
        self._forget_old_orders()
        usage = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000,
             "count": min(self.counters.requests, 6000)},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.settings.order_limit,
             "count": len(self._placed)},
        ]  # fmt: skip
        await self._send(session, {"id": request_id, "status": status, **body, "rateLimits": usage})

    async def _send(self, session: _Session, message: dict[str, Any]) -> None:
        if not session.stalled:
            with contextlib.suppress(ConnectionClosed):
                await session.ws.send(json.dumps(message, separators=(",", ":")))

    # ---- checks ----

    def _check_signed(self, params: dict[str, Any]) -> None:
        for name in ("apiKey", "timestamp", "signature"):
            if name not in params:
                raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        if params["apiKey"] != self.settings.api_key:
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        given = params["signature"]
        if not isinstance(given, str) or not hmac.compare_digest(
            given.lower().encode(), sign(self.settings.secret, params).encode()
        ):
            raise ApiError(-1022, "Signature for this request is not valid.")
        window = params.get("recvWindow", 5000)
        timestamp = params["timestamp"]
        if type(timestamp) is not int or not isinstance(window, int | Decimal) or not 0 < window <= 60_000:
            raise ApiError(-1100, "Illegal characters found in a parameter.")
        if timestamp > 10**15:  # microseconds
            timestamp //= 1000
        now = self.now_ms()
        if timestamp >= now + 1000:
            raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - timestamp > window:
            raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")

    @staticmethod
    def _decimal(params: dict[str, Any], name: str) -> Decimal:
        """A decimal sent as text: only text can be compared with what was signed, digit for digit."""
        value = params.get(name)
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
            raise ApiError(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '{_DECIMAL.pattern}'."
            )
        return Decimal(value)

    def _check_order(self, params: dict[str, Any]) -> tuple[Symbol, Decimal, Decimal]:
        """The documented order of tests: parameters, symbol, filters. Returns symbol, quantity, price."""
        for name in ("symbol", "side", "type", "quantity"):
            if not params.get(name):
                raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        symbol = SYMBOLS.get(params["symbol"])
        if symbol is None:
            raise ApiError(-1121, "Invalid symbol.")
        if params["side"] not in _SIDES:
            raise ApiError(-1117, "Invalid side.")
        client_id = params.get("newClientOrderId", "")
        if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            raise ApiError(
                -1100,
                f"Illegal characters found in parameter 'newClientOrderId'; legal range is '^{_CLIENT_ID.pattern}$'.",
            )
        quantity = self._decimal(params, "quantity")
        price = self._price(params, symbol)
        if not symbol.min_qty <= quantity <= symbol.max_qty or quantity % symbol.step:
            raise ApiError(-1013, "Filter failure: LOT_SIZE")
        if quantity * price < symbol.min_notional:
            raise ApiError(-1013, "Filter failure: NOTIONAL")
        return symbol, quantity, price

    def _price(self, params: dict[str, Any], symbol: Symbol) -> Decimal:
        """A limit order's price, or what market orders fill at."""
        if params["type"] == "MARKET":
            for name in ("price", "timeInForce"):
                if name in params:
                    raise ApiError(-1106, f"Parameter '{name}' sent when not required.")
            return _MARKET_PRICE
        if params["type"] != "LIMIT":
            raise ApiError(-1116, "Invalid orderType.")
        if params.get("timeInForce") not in _TIMES_IN_FORCE:
            raise ApiError(-1115, "Invalid timeInForce.")
        price = self._decimal(params, "price")
        if price <= 0 or price % symbol.tick:
            raise ApiError(-1013, "Filter failure: PRICE_FILTER")
        return price

    def _forget_old_orders(self) -> None:
        limit = time.monotonic() - 10
        while self._placed and self._placed[0] < limit:
            self._placed.pop(0)

    # ---- methods ----

    async def _place(self, session: _Session, request_id: Any, params: dict[str, Any]) -> None:
        try:
            order = self._accept(params)
        except ApiError as error:
            self._record(params, error.code, error.message)
            raise
        self._record(params, 0, "")
        task = asyncio.create_task(self._fill(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.faults_left and len(self.orders) > self.settings.fault_after:
            self.faults_left -= 1
            self.counters.faults += 1
            if not await self._do_fault(session, request_id):
                return
        result: dict[str, Any] = {
            "symbol": order.symbol.name, "orderId": order.order_id, "orderListId": -1,
            "clientOrderId": order.client_id, "transactTime": order.time_ms,
        }  # fmt: skip
        if params.get("newOrderRespType", "FULL") != "ACK":
            result |= self._describe(order)
        await self._reply(session, request_id, 200, result=result)

    def _record(self, params: dict[str, Any], code: int, message: str) -> None:
        names = ("newClientOrderId", "symbol", "side", "type", "quantity", "price")
        client_id, symbol, side, kind, quantity, price = (str(params.get(name, "")) for name in names)
        self.orders.append(ReceivedOrder(client_id, symbol, side, kind, quantity, price, code, message))

    def _accept(self, params: dict[str, Any]) -> _Order:
        self._check_signed(params)
        symbol, quantity, price = self._check_order(params)
        self._forget_old_orders()
        if len(self._placed) >= self.settings.order_limit:
            limit = self.settings.order_limit
            raise ApiError(-1015, f"Too many new orders; current limit is {limit} orders per 10 SECONDS.", 429)
        client_id = params["newClientOrderId"]
        if (known := self._book.get(client_id)) is not None and known.is_open:
            raise ApiError(-2010, "Duplicate order sent.")
        if self._chance(client_id, "reject") < self.settings.reject_share:
            raise ApiError(-2010, "Account has insufficient balance for requested action.")
        self._placed.append(time.monotonic())
        order = _Order(params, symbol, self._next_order_id, quantity, price, self.now_ms())
        self._next_order_id += 1
        self._book[client_id] = order
        return order

    def _chance(self, client_id: str, what: str) -> float:
        return random.Random(f"{self.settings.seed}:{what}:{client_id}").random()

    def _find(self, params: dict[str, Any]) -> _Order:
        self._check_signed(params)
        order = self._book.get(str(params.get("origClientOrderId")))
        if order is None:
            order = next((o for o in self._book.values() if o.order_id == params.get("orderId")), None)
        if order is None or order.symbol.name != params.get("symbol"):
            raise ApiError(-2013, "Order does not exist.")
        return order

    def _status(self, _session: _Session, params: dict[str, Any]) -> dict[str, Any]:
        order = self._find(params)
        return {"orderListId": -1, "clientOrderId": order.client_id, **self._describe(order)}

    def _cancel(self, _session: _Session, params: dict[str, Any]) -> dict[str, Any]:
        order = self._find(params)
        if not order.is_open:
            raise ApiError(-2011, "Unknown order sent.")
        order.status = "CANCELED"
        return {"orderListId": -1, "origClientOrderId": order.client_id, **self._describe(order)}

    def _subscribe(self, session: _Session, params: dict[str, Any]) -> dict[str, Any]:
        self._check_signed(params)
        if session.subscription is not None:
            raise ApiError(-2035, "User Data Stream subscription already active.")
        session.subscription = 0
        return {"subscriptionId": 0}

    @staticmethod
    def _describe(order: _Order) -> dict[str, Any]:
        return {
            "symbol": order.symbol.name, "orderId": order.order_id,
            "price": str(order.params.get("price", "0.00000000")), "origQty": f"{order.quantity:.8f}",
            "executedQty": f"{order.filled:.8f}", "cummulativeQuoteQty": f"{order.filled * order.price:.8f}",
            "status": order.status, "timeInForce": order.params.get("timeInForce", "GTC"),
            "type": order.params["type"], "side": order.params["side"], "time": order.time_ms,
            "updateTime": order.time_ms, "isWorking": order.is_open, "workingTime": order.time_ms,
            "origQuoteOrderQty": "0.00000000", "selfTradePreventionMode": "NONE",
        }  # fmt: skip

    # ---- the user data stream ----

    async def _fill(self, order: _Order) -> None:
        await asyncio.sleep(0)  # the acknowledgement goes first
        await self._report(order, "NEW", Decimal(0))
        await asyncio.sleep(self.settings.fill_delay_s)
        if self._chance(order.client_id, "partial") < self.settings.partial_share:
            first = (order.quantity / 2).quantize(order.symbol.step)
            if 0 < first < order.quantity and order.is_open:
                order.filled, order.status = first, "PARTIALLY_FILLED"
                await self._report(order, "TRADE", first)
                await asyncio.sleep(self.settings.fill_delay_s)
        if order.is_open:
            last = order.quantity - order.filled
            order.filled, order.status = order.quantity, "FILLED"
            self.counters.filled += 1
            await self._report(order, "TRADE", last)

    async def _report(self, order: _Order, execution: str, last: Decimal) -> None:
        now = self.now_ms()
        trade = execution == "TRADE"
        if trade:
            self._next_trade_id += 1
        event = {
            "e": "executionReport", "E": now, "s": order.symbol.name, "c": order.client_id, "S": order.params["side"],
            "o": order.params["type"], "f": order.params.get("timeInForce", "GTC"), "q": f"{order.quantity:.8f}",
            "p": f"{Decimal(order.params.get('price', '0')):.8f}", "P": "0.00000000", "F": "0.00000000", "g": -1,
            "C": "", "x": execution, "X": order.status, "r": "NONE", "i": order.order_id, "l": f"{last:.8f}",
            "z": f"{order.filled:.8f}", "L": f"{order.price if trade else Decimal(0):.8f}", "n": "0",
            "N": order.symbol.quote if trade else None, "T": now, "t": self._next_trade_id if trade else -1,
            "I": self._next_trade_id + 4_000_000, "w": not trade, "m": False, "M": trade, "O": order.time_ms,
            "Z": f"{order.filled * order.price:.8f}", "Y": f"{last * order.price:.8f}", "Q": "0.00000000",
            "W": order.time_ms, "V": "NONE",
        }  # fmt: skip
        if not self.settings.events:
            return
        for session in list(self._sessions):
            if session.subscription is not None:
                await self._send(session, {"subscriptionId": session.subscription, "event": event})

    # ---- faults ----

    async def _do_fault(self, session: _Session, request_id: Any) -> bool:
        """Does the configured fault. True: go on with the normal reply."""
        fault, transport = self.settings.fault, session.ws.transport
        if fault == "slow_reply":
            await asyncio.sleep(self.settings.reply_delay_s)
            return True
        if fault == "shutdown_event":
            await self._send(session, {"event": {"e": "serverShutdown", "E": self.now_ms()}})
            return True
        if fault == "outcome_unknown":
            message = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
            await self._reply(session, request_id, 503, error={"code": -1007, "msg": message})
        elif fault == "close":
            await session.ws.close(1001, "going away")
        elif fault == "reset":
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif fault == "stall":
            session.stalled = True
            transport.pause_reading()
        elif fault == "garbage":
            await session.ws.send('{"id":"\\ud800 \x01 not json')
        elif fault == "masked_frame":  # a server must not mask (RFC 6455, section 5.1)
            mask = b"\x12\x34\x56\x78"
            body = bytes(b ^ mask[i % 4] for i, b in enumerate(b"{}"))
            transport.write(b"\x81\x82" + mask + body)
        return False
