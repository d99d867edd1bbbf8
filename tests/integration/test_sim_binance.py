"""The simulated exchange, driven by the `websockets` client over `ssl` and the standard library's hmac."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, ProtocolError

from runner.sim.binance import Binance, VenueSettings, sign
from runner.sim.certificates import Authority

KEY, SECRET = "demo-key", "demo-secret"
LIMIT = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "52000.00",
    "quantity": "0.01000000", "newClientOrderId": "h00-0001", "newOrderRespType": "ACK",
}  # fmt: skip


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def client_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


class Rig:
    def __init__(self, venue: Binance, ws: ClientConnection) -> None:
        self.venue = venue
        self.ws = ws

    async def send(self, request_id: Any, method: str, params: dict[str, Any] | None = None) -> None:
        await self.ws.send(json.dumps({"id": request_id, "method": method, **({"params": params} if params else {})}))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self.ws.recv(), 5))
        return message

    async def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        await self.send("r1", method, params)
        reply = await self.receive()
        assert reply["id"] == "r1"
        assert reply["rateLimits"]
        return reply

    async def order(self, **changes: Any) -> dict[str, Any]:
        return await self.call("order.place", signed({**LIMIT, **changes}))


def signed(params: dict[str, Any], secret: str = SECRET) -> dict[str, Any]:
    """Removes what is None, adds key and time, and signs as the documentation says."""
    params = {"apiKey": KEY, "timestamp": time.time_ns() // 1_000_000, **params}
    params = {name: value for name, value in params.items() if value is not None}
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return {**params, "signature": hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()}


@asynccontextmanager
async def rig(authority: Authority, **settings: Any) -> AsyncIterator[Rig]:
    venue = Binance(VenueSettings(api_key=KEY, secret=SECRET, **settings), authority.server_context())
    await venue.start()
    try:
        async with connect(venue.url, ssl=client_context(authority)) as ws:
            yield Rig(venue, ws)
    finally:
        await venue.stop()


def run(authority: Authority, work: Callable[[Rig], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        async with rig(authority, **settings) as r:
            await work(r)

    asyncio.run(main())


def test_signature_is_the_documented_example() -> None:
    params = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
        "price": "52000.00", "recvWindow": 100, "timestamp": 1645423376532,
        "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    }  # fmt: skip
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    assert sign(secret, params) == "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"


def test_time_and_unknown_method(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        reply = await r.call("time")
        assert reply["status"] == 200
        assert abs(reply["result"]["serverTime"] - time.time() * 1000 - 7000) < 500
        assert (await r.call("order.teleport"))["error"]["code"] == -1104
        await r.ws.send("not json")
        assert (await r.receive())["error"]["code"] == -1135

    run(authority, work, clock_offset_ms=7000)


def test_order_is_acknowledged_then_filled(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        assert (await r.call("userDataStream.subscribe.signature", signed({})))["result"] == {"subscriptionId": 0}
        reply = await r.order()
        assert reply["status"] == 200
        result = reply["result"]
        assert set(result) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
        assert result["clientOrderId"] == "h00-0001"
        events = [await r.receive(), await r.receive()]
        assert all(event["subscriptionId"] == 0 and event["event"]["e"] == "executionReport" for event in events)
        seen = [(e["event"]["x"], e["event"]["X"], e["event"]["z"]) for e in events]
        assert seen == [("NEW", "NEW", "0.00000000"), ("TRADE", "FILLED", "0.01000000")]
        assert all(e["event"]["i"] == result["orderId"] and e["event"]["c"] == "h00-0001" for e in events)
        status = await r.call("order.status", signed({"symbol": "BTCUSDT", "origClientOrderId": "h00-0001"}))
        assert (status["result"]["status"], status["result"]["executedQty"]) == ("FILLED", "0.01000000")
        (order,) = r.venue.orders
        assert (order.client_id, order.symbol, order.side, order.type, order.quantity, order.price, order.code) == (
            "h00-0001", "BTCUSDT", "SELL", "LIMIT", "0.01000000", "52000.00", 0,
        )  # fmt: skip

    run(authority, work)


def test_market_order_in_two_fills(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        await r.call("userDataStream.subscribe.signature", signed({}))
        assert (await r.order(type="MARKET", price=None, timeInForce=None))["status"] == 200
        states = [(await r.receive())["event"]["X"] for _ in range(3)]
        assert states == ["NEW", "PARTIALLY_FILLED", "FILLED"]

    run(authority, work, partial_share=1.0)


def test_open_order_can_be_canceled_and_its_id_is_taken(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        await r.order()
        assert (await r.order())["error"] == {"code": -2010, "msg": "Duplicate order sent."}
        reply = await r.call("order.cancel", signed({"symbol": "BTCUSDT", "origClientOrderId": "h00-0001"}))
        assert reply["result"]["status"] == "CANCELED"
        again = await r.call("order.cancel", signed({"symbol": "BTCUSDT", "origClientOrderId": "h00-0001"}))
        assert again["error"]["code"] == -2011
        missing = await r.call("order.status", signed({"symbol": "BTCUSDT", "origClientOrderId": "none"}))
        assert missing["error"]["code"] == -2013

    run(authority, work, fill_delay_s=60)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": "0.010000001"}, -1013),
        ({"quantity": "0"}, -1013),
        ({"quantity": "10000"}, -1013),
        ({"quantity": 0.01}, -1100),
        ({"quantity": "1e-2"}, -1100),
        ({"quantity": None}, -1102),
        ({"price": "52000.005"}, -1013),
        ({"price": "0.01"}, -1013),
        ({"price": None}, -1100),
        ({"symbol": "DOGEBTC"}, -1121),
        ({"side": "HOLD"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "MARKET"}, -1106),
        ({"timeInForce": None}, -1115),
        ({"newClientOrderId": "has space"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"apiKey": "other"}, -2015),
        ({"timestamp": 1645423376532}, -1021),
        ({"timestamp": int(time.time() * 1000) + 60_000}, -1021),
        ({"timestamp": "now"}, -1100),
    ],
)
def test_wrong_orders_are_refused_and_recorded(authority: Authority, changes: dict[str, Any], code: int) -> None:
    async def work(r: Rig) -> None:
        reply = await r.order(**changes)
        assert reply["error"]["code"] == code
        assert reply["status"] in {400, 401}
        assert [order.code for order in r.venue.orders] == [code]

    run(authority, work)


def test_every_changed_parameter_breaks_the_signature(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        good = signed(LIMIT)
        for name in LIMIT:
            reply = await r.call("order.place", {**good, name: good[name] + "0"})
            assert reply["error"]["code"] == -1022
        reply = await r.call("order.place", signed(LIMIT, "another secret"))
        assert reply["error"]["code"] == -1022
        unsigned = {name: value for name, value in good.items() if name != "signature"}
        assert (await r.call("order.place", unsigned))["error"]["code"] == -1102
        assert (await r.call("order.place", {**good, "signature": good["signature"].upper()}))["status"] == 200

    run(authority, work)


def test_rejections_follow_the_client_id_not_the_order_of_arrival(authority: Authority) -> None:
    async def codes(reverse: bool) -> dict[str, int]:
        async with rig(authority, reject_share=0.5, seed=4) as r:
            for i in sorted(range(20), reverse=reverse):
                await r.order(newClientOrderId=f"id-{i}")
            return {order.client_id: order.code for order in r.venue.orders}

    first = asyncio.run(codes(False))
    assert set(first.values()) == {0, -2010}
    assert asyncio.run(codes(True)) == first


def test_order_count_limit(authority: Authority) -> None:
    async def work(r: Rig) -> None:
        statuses = [(await r.order(newClientOrderId=f"id-{i}"))["status"] for i in range(3)]
        assert statuses == [200, 200, 429]

    run(authority, work, order_limit=2)


def test_wrong_path_and_wrong_certificates(authority: Authority) -> None:
    async def main() -> None:
        async with rig(authority) as r:
            with pytest.raises(InvalidStatus):
                await connect(r.venue.url + "x", ssl=client_context(authority))
        for context in (
            authority.server_context(("elsewhere.example",)),
            authority.server_context(valid_days=(-2, -1)),
            authority.server_context(self_signed=True),
            Authority().server_context(),
        ):
            venue = Binance(VenueSettings(api_key=KEY, secret=SECRET), context)
            await venue.start()
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(venue.url, ssl=client_context(authority))
            await venue.stop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "error"),
    [("close", ConnectionClosed), ("reset", ConnectionClosed), ("masked_frame", (ProtocolError, ConnectionClosed))],
)
def test_fault_ends_the_connection(authority: Authority, fault: str, error: Any) -> None:
    async def work(r: Rig) -> None:
        assert (await r.order(newClientOrderId="first"))["status"] == 200
        with pytest.raises(error):
            await r.order(newClientOrderId="second")
        async with connect(r.venue.url, ssl=client_context(authority)) as ws:
            again = Rig(r.venue, ws)
            status = await again.call("order.status", signed({"symbol": "BTCUSDT", "origClientOrderId": "second"}))
            assert status["status"] == 200  # the order is real though its reply was lost
            assert (await again.order(newClientOrderId="third"))["status"] == 200

    run(authority, work, fault=fault, fault_after=1)


@pytest.mark.parametrize("fault", ["drop_reply", "stall"])
def test_fault_without_an_answer(authority: Authority, fault: str) -> None:
    async def work(r: Rig) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(r.order(), 0.3)
        alive = await r.ws.ping()
        if fault == "drop_reply":
            await asyncio.wait_for(alive, 2)
            assert (await r.call("time"))["status"] == 200
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(alive, 0.3)
            r.ws.transport.abort()

    run(authority, work, fault=fault)


def test_fault_slow_reply_garbage_and_unknown_outcome(authority: Authority) -> None:
    async def slow(r: Rig) -> None:
        begin = time.monotonic()
        assert (await r.order())["status"] == 200
        assert time.monotonic() - begin >= 0.2

    async def garbage(r: Rig) -> None:
        await r.send("x", "order.place", signed(LIMIT))
        with pytest.raises(json.JSONDecodeError):
            await r.receive()

    async def unknown(r: Rig) -> None:
        reply = await r.order()
        assert (reply["status"], reply["error"]["code"]) == (503, -1007)

    async def shutdown(r: Rig) -> None:
        await r.send("r1", "order.place", signed(LIMIT))
        assert (await r.receive())["event"]["e"] == "serverShutdown"
        assert (await r.receive())["status"] == 200

    run(authority, slow, fault="slow_reply", reply_delay_s=0.2)
    run(authority, garbage, fault="garbage")
    run(authority, unknown, fault="outcome_unknown")
    run(authority, shutdown, fault="shutdown_event")
