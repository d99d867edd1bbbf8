"""What an Engine refuses before it starts, and what it says then."""

from __future__ import annotations

import dataclasses
import gc
import os

import pytest

import hftcore
from hftcore import ConfigError, Engine, EngineLimits, RiskLimits, Rule, TLSError, WatchTable, venues
from hftcore.endpoints import is_loopback, parse_url, resolve
from hftcore.errors import LocalProtocolError
from hftcore.venues import Credentials, Order, Slot, Template

ORDER = Order(symbol="BTCUSDT", side="SELL", type="LIMIT", quantity="0.01", price="50000.00")
SCRIPT = bytes.fromhex("0014") + bytes(range(20))


def watch(*labels: str) -> WatchTable:
    table = WatchTable(64)
    for i, label in enumerate(labels):
        table.add(SCRIPT[:-1] + bytes([i]), label)
    return table


def rule(**changes: object) -> Rule:
    settings: dict[str, object] = {"name": "whale", "venue": "binance", "order": ORDER, "min_sat": 1} | changes
    return Rule(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network": "testnet5"}, "one of mainnet, testnet4"),
        ({"mode": "busy"}, "sleep or spin"),
        ({"backend": "kqueue"}, "auto, io_uring, epoll"),
        ({"cpu": 100_000}, "this process may use"),
        ({"deposit_min_sat": 0}, "satoshi"),
        ({"whale_min_sat": 21 * 10**14 + 1}, "satoshi"),
        ({"user_agent": "x" * 64}, "too long"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Engine(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://exchange.example/", "wss://HOST"),
        ("ws://exchange.example/ws", "not encrypted"),
        ("wss://", "wss://HOST"),
        ("wss://user@exchange.example/", "user name"),
        ("wss://exchange.example:99999/", "port is wrong"),
    ],
)
def test_urls_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_url(url)


def test_urls_taken_apart() -> None:
    binance = parse_url("wss://ws-api.binance.com:443/ws-api/v3?returnRateLimits=false")
    assert (binance.tls, binance.host, binance.port) == (True, "ws-api.binance.com", 443)
    assert (binance.host_header, binance.target) == ("ws-api.binance.com", "/ws-api/v3?returnRateLimits=false")
    local = parse_url("ws://[::1]:8080")
    assert (local.tls, local.host, local.port, local.host_header, local.target) == (
        False,
        "::1",
        8080,
        "[::1]:8080",
        "/",
    )


def test_only_this_machine_is_loopback() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "localhost.example", "::2", "0.0.0.0"))


def test_addresses_are_resolved_as_the_reactor_takes_them() -> None:
    (family, packed, scope), *_ = resolve("127.0.0.1", 8333)
    assert (family, packed, scope) == (2, b"\x7f\0\0\1", 0)


def test_rules_name_what_is_wrong() -> None:
    engine = Engine(watch=watch("Binance", "Kraken"))
    with pytest.raises(ConfigError, match="was not added"):
        engine.add_rule(rule())
    engine.add_venue(venues.get("binance"))
    with pytest.raises(ConfigError, match="did you mean 'Kraken'"):
        engine.add_rule(rule(labels={"Krakn"}))
    engine.add_rule(rule(labels={"Kraken"}))
    with pytest.raises(ConfigError, match="the name is taken"):
        engine.add_rule(rule())
    with pytest.raises(TypeError, match="Rule expected"):
        engine.add_rule({"name": "x"})  # type: ignore[arg-type]


def test_an_order_that_the_engine_cannot_fill() -> None:
    slots = {
        "client_id": Slot("text", max_len=34),
        "quantity": Slot("decimal", scale=8),
        "timestamp": Slot("text", max_len=20),
    }
    template = Template('{"id":"${client_id}","q":"${quantity}","t":"${timestamp}"}', slots=slots)
    engine = Engine(watch=watch("Binance"))
    engine.add_venue(dataclasses.replace(venues.get("binance"), orders={"LIMIT": template}))
    with pytest.raises(LocalProtocolError, match="rule whale: timestamp"):
        engine.add_rule(rule())


def test_orders_for_real_need_a_key() -> None:
    engine = Engine(dry_run=False)
    with pytest.raises(ConfigError, match="credentials are needed"):
        engine.add_venue(venues.get("binance"))
    engine.add_venue(venues.get("binance"), Credentials("KEY", b"SECRET"))
    with pytest.raises(ConfigError, match="is there already"):
        engine.add_venue(venues.get("binance"), Credentials("KEY", b"SECRET"))


def test_a_ca_file_that_is_none(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(TLSError, match=r"CA file .*missing.pem: No such file") as caught:
        Engine().add_venue(venues.get("binance"), ca_file=os.path.join(tmp_path, "missing.pem"))
    assert caught.value.name == "HFT_E_TLS_CONFIG"


def test_the_self_test_finds_a_wrong_signature() -> None:
    from hftcore.engine import self_test
    from hftcore.errors import VenueError

    template = venues.get("binance").order_template(ORDER, Credentials("KEY", b"right"))
    values = {"client_id": "a", "timestamp": 1, "quantity": "0.01"}
    self_test(template, Credentials("KEY", b"right"), values)
    with pytest.raises(VenueError, match="self-test"):
        self_test(template, Credentials("KEY", b"wrong"), values)


def test_nothing_to_do_and_too_late() -> None:
    engine = Engine()
    with pytest.raises(ConfigError, match="add a peer or a venue"):
        engine.start()
    engine.add_peer("127.0.0.1", 1)
    with engine:
        assert engine.running
        assert engine.backend in ("io_uring", "epoll")
        with pytest.raises(ConfigError, match="before start"):
            engine.add_peer("127.0.0.1", 2)
    assert not engine.running
    with pytest.raises(ConfigError, match="before start"):
        engine.start()


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_ports(port: int) -> None:
    with pytest.raises(ConfigError, match="1 to 65535"):
        Engine().add_peer("127.0.0.1", port)


def test_a_secret_is_nowhere_to_be_seen() -> None:
    secret = "S3CR3T" * 8
    engine = Engine(dry_run=False, watch=watch("Binance"))
    credentials = Credentials("A-KEY-THAT-IS-LONG", secret.encode())
    engine.add_venue(venues.get("binance"), credentials)
    engine.add_rule(rule())
    for text in (repr(engine), repr(credentials), repr(venues.get("binance").order_template(ORDER, credentials))):
        assert secret not in text
        assert "A-KEY-THAT-IS-LONG" not in text


def test_an_engine_never_started_leaves_nothing() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    before = descriptors()
    for _ in range(50):
        engine = Engine(watch=watch("Binance"))
        engine.add_venue(venues.get("binance"))
        engine.add_rule(rule())
    del engine
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: EngineLimits(event_queue=100),
        lambda: EngineLimits(seen_cap=32),
        lambda: EngineLimits(message_max=5_000_000),
        lambda: EngineLimits(backoff_min_ms=10, backoff_max_ms=5),
        lambda: EngineLimits(order_timeout_ms=0),
        lambda: RiskLimits(burst=0),
        lambda: RiskLimits(window_orders=2000),
        lambda: RiskLimits(window_notional="1e9"),
        lambda: rule(name="no spaces"),
        lambda: rule(min_sat=0),
        lambda: rule(labels=frozenset()),
    ],
)
def test_limits_have_limits(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


def test_what_the_build_and_the_machine_are() -> None:
    build, machine = hftcore.build_info(), hftcore.probe()
    assert build.openssl.startswith("OpenSSL ")
    assert build.sha256_kernel == machine.sha256_kernel
    assert build.mode in ("release", "debug", "sanitize")
    assert machine.sha256_kernel == "portable" or machine.cpu_features["sha-ni"]
