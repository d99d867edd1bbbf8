"""A signed order as text: hftcore's template beside Python's dict, sort, hmac and orjson."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import setting
from hftcore.venues.binance import BINANCE

CLIENT_ID = "h00-0123456789abcdef01234567"
TEMPLATE = BINANCE.order_template(setting.ORDER, setting.CREDENTIALS)


def ours() -> bytes:
    return TEMPLATE.render(client_id=CLIENT_ID, quantity=setting.ORDER.quantity, timestamp=time.time_ns())


def python() -> bytes:
    order = setting.ORDER
    params: dict[str, str | int] = {
        "apiKey": setting.CREDENTIALS.api_key,
        "newClientOrderId": CLIENT_ID,
        "newOrderRespType": "ACK",
        "price": str(order.price),
        "quantity": order.quantity,
        "recvWindow": 5000,
        "side": order.side,
        "symbol": order.symbol,
        "timeInForce": order.time_in_force,
        "timestamp": int(time.time() * 1000),
        "type": order.type,
    }
    query = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["signature"] = hmac.new(setting.CREDENTIALS.secret, query.encode(), hashlib.sha256).hexdigest()
    return orjson.dumps({"id": CLIENT_ID, "method": "order.place", "params": params})


@pytest.mark.benchmark(group="signed Binance order")
@pytest.mark.parametrize("call", [ours, python], ids=["hftcore", "dict, hmac, orjson"])
def test_order(benchmark: BenchmarkFixture, call: Callable[[], bytes]) -> None:
    message = json.loads(benchmark(call))
    signature = message["params"].pop("signature")
    query = "&".join(f"{name}={value}" for name, value in sorted(message["params"].items()))
    assert signature == hmac.new(setting.CREDENTIALS.secret, query.encode(), "sha256").hexdigest()
