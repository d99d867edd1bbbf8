"""Venue files: their checks, and Binance's templates against its rules, its example and an independent signer."""

from __future__ import annotations

import dataclasses
import hmac
import json

import pytest

from hftcore import venues
from hftcore.errors import ConfigError, HftError
from hftcore.orders import OrderTemplate
from hftcore.settings import Rule
from hftcore.venues import Credentials, ErrorClass, Order, ReplyPaths, Slot, Template
from hftcore.venues.binance import BINANCE

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
CREDENTIALS = Credentials(KEY, SECRET)
LIMIT = Order(symbol="BTCUSDT", side="SELL", type="LIMIT", quantity="0.01", price="52000.00")
MARKET = Order(symbol="ETHBTC", side="BUY", type="MARKET", quantity="1.5", notional="0.06")
TIME_NS = 1_645_423_376_532_000_000


def signature_of(params: dict[str, object]) -> str:
    """Binance's rule, word for word: all parameters but the signature, sorted by name, k=v joined by &."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return hmac.new(SECRET, text.encode(), "sha256").hexdigest()


def request(template: OrderTemplate, **values: str | int) -> dict:
    message = json.loads(template.render(**values))
    if template.is_signed:
        assert message["params"]["signature"] == signature_of(message["params"])
        assert message["params"]["apiKey"] == KEY
    return message


def test_limit_order() -> None:
    message = request(BINANCE.order_template(LIMIT, CREDENTIALS), client_id="h1", quantity="0.01", timestamp=TIME_NS)
    assert (message["id"], message["method"]) == ("h1", "order.place")
    signature = message["params"].pop("signature")
    assert len(signature) == 64
    assert message["params"] == {
        "apiKey": KEY,
        "newClientOrderId": "h1",
        "newOrderRespType": "ACK",
        "price": "52000.00",
        "quantity": "0.01000000",
        "recvWindow": 5000,
        "side": "SELL",
        "symbol": "BTCUSDT",
        "timeInForce": "GTC",
        "timestamp": 1645423376532,
        "type": "LIMIT",
    }


def test_market_order() -> None:
    template = BINANCE.order_template(MARKET, CREDENTIALS)
    message = request(template, client_id="x" * BINANCE.client_id_max, quantity=2, timestamp=TIME_NS)
    params = message["params"]
    names = "apiKey newClientOrderId newOrderRespType quantity recvWindow side signature symbol timestamp type"
    assert sorted(params) == names.split()
    assert (params["type"], params["side"], params["quantity"]) == ("MARKET", "BUY", "2.00000000")


def test_other_requests() -> None:
    message = request(BINANCE.query_template(MARKET, CREDENTIALS), client_id="h1", timestamp=TIME_NS)
    assert (message["id"], message["method"]) == ("q-h1", "order.status")
    assert message["params"]["origClientOrderId"] == "h1"
    assert message["params"]["symbol"] == "ETHBTC"
    template = BINANCE.user_stream_template(CREDENTIALS)
    assert template is not None
    message = request(template, timestamp=TIME_NS)
    assert (message["id"], message["method"]) == ("user", "userDataStream.subscribe.signature")
    assert set(message["params"]) == {"apiKey", "timestamp", "signature"}
    assert request(BINANCE.time_template()) == {"id": "time", "method": "time"}


def test_official_example() -> None:
    """The example of web-socket-api.md has no client id and no response type: without those the template must agree."""
    venue = dataclasses.replace(BINANCE, constants={"recv_window": "100"})
    limit = venue.orders["LIMIT"]
    example = Template(
        limit.message.replace('"newClientOrderId":"${client_id}","newOrderRespType":"ACK",', ""),
        limit.signed.replace("&newClientOrderId=${client_id}&newOrderRespType=ACK", ""),
        limit.slots,
    )
    assert len(example.signed) < len(limit.signed)
    constants = {name: getattr(LIMIT, name) for name in ("symbol", "side", "type", "price", "time_in_force")}
    template = example.bind(api_key=KEY, **venue.constants, **constants).compile(SECRET)
    values = {"client_id": "unsigned", "quantity": "0.01", "timestamp": TIME_NS}
    assert template.signed_text(**values).decode() == (
        f"apiKey={KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC"
        "&timestamp=1645423376532&type=LIMIT"
    )
    signature = json.loads(template.render(**values))["params"]["signature"]
    assert signature == "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"


@pytest.mark.parametrize("template", [*BINANCE.orders.values(), BINANCE.order_query, BINANCE.user_stream])
def test_signed_text_is_sorted_and_complete(template: Template) -> None:
    names = [pair.split("=")[0] for pair in template.signed.split("&")]
    assert names == sorted(names)
    body = template.message
    for name in template.placeholders - {"signature"}:
        body = body.replace(f"${{{name}}}", "1")
    params = json.loads(body)["params"]
    assert set(names) == set(params) - {"signature"}


@pytest.mark.parametrize(
    ("code", "message", "status", "expected"),
    [
        (-1021, "Timestamp for this request is outside of the recvWindow.", 400, ErrorClass.CLOCK),
        (-1022, "Signature for this request is not valid.", 400, ErrorClass.AUTH),
        (-2015, "Invalid API-key, IP, or permissions for action.", 401, ErrorClass.AUTH),
        (-1003, "Too much request weight used", 418, ErrorClass.RATE_LIMIT),
        (-1015, "Too many new orders", 429, ErrorClass.ORDER_LIMIT),
        (-1013, "Filter failure: LOT_SIZE", 400, ErrorClass.FILTER),
        (-1013, "Filter failure: MAX_NUM_ORDERS", 400, ErrorClass.ORDER_LIMIT),
        (-1111, "Precision is over the maximum defined for this asset.", 400, ErrorClass.FILTER),
        (-2010, "Duplicate order sent.", 400, ErrorClass.DUPLICATE),
        (-2010, "Account has insufficient balance for requested action.", 400, ErrorClass.FUNDS),
        (-2010, "Order would immediately match and take.", 400, ErrorClass.WOULD_CROSS),
        (-2010, "Market is closed.", 400, ErrorClass.HALTED),
        (-2010, "This symbol is restricted for this account.", 400, ErrorClass.OTHER),
        (-2011, "Unknown order sent.", 400, ErrorClass.UNKNOWN_ORDER),
        (-2013, "Order does not exist.", 400, ErrorClass.UNKNOWN_ORDER),
        (-1006, "An unexpected response was received from the message bus.", 500, ErrorClass.OUTCOME_UNKNOWN),
        (-1007, "Timeout waiting for response from backend server.", 408, ErrorClass.OUTCOME_UNKNOWN),
        (-1000, "An unknown error occurred while processing the request.", 500, ErrorClass.OUTCOME_UNKNOWN),
        (-9999, "", 400, ErrorClass.OTHER),
    ],
)
def test_binance_errors(code: int, message: str, status: int, expected: ErrorClass) -> None:
    assert BINANCE.classify(code, message, status) is expected


def test_get() -> None:
    assert venues.get("binance") is BINANCE
    for name in ("nyse", "", "Binance", "binance.x", "__init__"):
        with pytest.raises(ConfigError, match="there are: binance"):
            venues.get(name)


def test_bind_and_compile() -> None:
    template = Template("${a}-${b}", slots={"b": Slot("uint")})
    assert template.bind(a="x").compile().render(b=1) == b"x-1"
    assert template.bind(a="x", b="7").compile().render() == b"x-7"
    with pytest.raises(ConfigError, match="a is neither bound nor a slot"):
        template.compile()
    with pytest.raises(ConfigError, match="nothing to bind to c"):
        template.bind(c="x")
    for bad in ("", 'x"', "a b", "é", "${b}", "x\n"):
        with pytest.raises(ConfigError, match="value of a"):
            template.bind(a=bad)
    with pytest.raises(ConfigError, match="value of a"):
        template.bind(a=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="malformed"):
        Template("${a")
    with pytest.raises(ConfigError, match="slot b is never used"):
        Template("a", slots={"b": Slot("uint")})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": ""}, "symbol"),
        ({"symbol": 'BTC"'}, "symbol"),
        ({"side": "sell"}, "side"),
        ({"type": "STOP"}, "type"),
        ({"time_in_force": "DAY"}, "time_in_force"),
        ({"quantity": "0"}, "quantity"),
        ({"quantity": "-1"}, "quantity"),
        ({"quantity": "1e3"}, "quantity"),
        ({"quantity": "1.123456789"}, "quantity"),
        ({"quantity": "01"}, "quantity"),
        ({"quantity": 0.01}, "quantity"),
        ({"price": None}, "LIMIT order needs one"),
        ({"price": "0.00"}, "price"),
        ({"type": "MARKET", "notional": "1"}, "MARKET order has none"),
        ({"type": "MARKET", "price": None}, "notional"),
        ({"notional": "x"}, "notional"),
        ({"price": "9999999999", "quantity": "9999999999"}, "too large"),
    ],
)
def test_bad_orders(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(LIMIT, **changes)


def test_scaled_values() -> None:
    assert LIMIT.notional_scaled == 520 * 10**8
    assert MARKET.notional_scaled == 6_000_000
    tiny = Order(symbol="X", side="BUY", type="LIMIT", quantity="0.00000001", price="0.00000001")
    assert tiny.notional_scaled == 1  # rounded up: never free
    with pytest.raises(ConfigError, match="leave it out"):  # it could lie to the risk gate
        dataclasses.replace(LIMIT, notional="1")
    assert LIMIT.quantity_scaled(8) == 1_000_000
    assert LIMIT.quantity_scaled(2) == 1
    with pytest.raises(ConfigError, match="more than 1 decimals"):
        LIMIT.quantity_scaled(1)
    assert Rule(name="r", venue="binance", order=LIMIT, min_sat=1).order is LIMIT


def test_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(CREDENTIALS) + str(CREDENTIALS)
    assert KEY not in shown
    assert SECRET.decode() not in shown
    monkeypatch.delenv("HFT_BINANCE_API_KEY", raising=False)
    monkeypatch.setenv("HFT_BINANCE_API_SECRET", SECRET.decode())
    with pytest.raises(ConfigError, match="HFT_BINANCE_API_KEY is not set"):
        Credentials.from_env("binance")
    monkeypatch.setenv("HFT_BINANCE_API_KEY", KEY)
    assert Credentials.from_env("binance") == CREDENTIALS
    monkeypatch.setenv("HFT_BINANCE_API_SECRET", "")
    with pytest.raises(ConfigError, match="HFT_BINANCE_API_SECRET is not set"):
        Credentials.from_env("BINANCE")
    for key, secret in (("", SECRET), (f'"{KEY}"', SECRET), (KEY, b""), (KEY, b"secret\n"), (KEY, "secret")):
        with pytest.raises(ConfigError, match="API") as caught:
            Credentials(key, secret)  # type: ignore[arg-type]
        assert KEY not in str(caught.value)


def test_what_goes_wrong_shows_no_secret() -> None:
    with pytest.raises(HftError) as caught:
        BINANCE.order_template(LIMIT, Credentials("k" * 1100, SECRET))
    assert SECRET.decode() not in str(caught.value)
    assert "k" * 1100 not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Big Exchange"}, "venue name"),
        ({"url": "ws://plain.example"}, "wss://"),
        ({"testnet_url": "https://plain.example"}, "wss://"),
        ({"orders": {"STOP": BINANCE.orders["LIMIT"]}}, "MARKET and LIMIT"),
        ({"client_id_max": 20}, "client_id"),
        ({"quantity_scale": 7}, "quantity"),
        ({"presign_window_ms": 9}, "presign_window_ms 9: 10 to 3600000, or 0"),
        ({"presign_window_ms": -1}, "presign_window_ms -1"),
    ],
)
def test_bad_venues(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(BINANCE, **changes)


def test_venue_without_an_order_type() -> None:
    venue = dataclasses.replace(BINANCE, orders={"LIMIT": BINANCE.orders["LIMIT"]}, user_stream=None)
    with pytest.raises(ConfigError, match="takes no MARKET orders, only LIMIT"):
        venue.order_template(MARKET, CREDENTIALS)
    assert venue.user_stream_template(CREDENTIALS) is None


def test_reply_paths() -> None:
    for path in ("", "a..b", "a.b.c.d.e", "x" * 32, "a b"):
        with pytest.raises(ConfigError, match="reply path id"):
            ReplyPaths(id=path)
    assert ReplyPaths(id="id").status == ""
