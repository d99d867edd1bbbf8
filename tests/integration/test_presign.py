"""Orders signed ahead: what leaves is fresh, valid, and no order twice."""

from __future__ import annotations

import dataclasses
import hmac
import re
import time
from datetime import datetime
from typing import Any

import pytest

from hftcore import RiskLimits
from hftcore.errors import ConfigError
from hftcore.venues import Slot, Template
from tests.integration import rig
from tests.integration.conftest import Stage

ID = re.compile(r"p00-[0-9a-f]{24}")
CLOCK_AHEAD_MS = 90_000


def check_signature(request: dict[str, Any]) -> None:
    params = dict(request["params"])
    signature = params.pop("signature")
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    assert signature == hmac.new(rig.CREDENTIALS.secret, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("mode", ["spin", "sleep"])
def test_an_order_signed_ahead_is_fresh_and_valid(stage: Stage, mode: str) -> None:
    engine = stage.start(mode=mode, rules=[rig.rule(presign=True)])
    time.sleep(0.1)
    ids = set()
    for seed in range(20):
        before_ms = time.time() * 1000
        stage.peer.deliver(rig.deposit(seed))
        request = stage.venue.expect_order()
        params = request["params"]
        check_signature(request)
        assert ID.fullmatch(params["newClientOrderId"])
        assert request["id"] == params["newClientOrderId"]
        assert params["quantity"] == "0.01000000"
        # Not from the future, as far as the venue's clock is known from whole milliseconds; and no older than the ring
        # reaches back, whose steps are 10 ms.
        assert before_ms - 100 <= params["timestamp"] <= time.time() * 1000 + 1
        ids.add(params["newClientOrderId"])
        event = rig.wait_order(engine, "sent")
        assert event.client_id == params["newClientOrderId"]
        stage.venue.acknowledge(request)
        assert rig.wait_order(engine, "acknowledged").client_id == event.client_id
        time.sleep(0.02)
    assert len(ids) == 20


def test_a_burst_is_signed_as_it_comes(stage: Stage) -> None:
    """More signals in one moment than messages for it: the rest has the ids of orders that are signed when due."""
    engine = stage.start(mode="spin", rules=[rig.rule(presign=True)])
    time.sleep(0.1)
    txs = [rig.deposit(seed) for seed in range(60)]
    stage.peer.announce(*txs)
    wanted = []
    while len(wanted) < len(txs):
        wanted += stage.peer.requested()
    stage.peer.sock.sendall(b"".join(rig.message("tx", tx.raw) for tx in txs))
    ids = [check_order(stage) for _ in txs]
    assert len(set(ids)) == len(txs)
    assert {name[0] for name in ids} == {"p", "h"}
    assert engine.stats().orders_sent == len(txs)


def check_order(stage: Stage) -> str:
    request = stage.venue.expect_order()
    check_signature(request)
    return str(request["params"]["newClientOrderId"])


def test_what_may_not_leave_does_not(stage: Stage) -> None:
    """The gate stands before what was signed ahead, and a dry run goes no further."""
    engine = stage.start(rules=[rig.rule(presign=True)], dry_run=True)
    time.sleep(0.1)
    stage.peer.deliver(rig.deposit(1))
    assert ID.fullmatch(rig.wait_order(engine, "dry_run").client_id)
    engine.stop(1.0)
    engine = stage.start(
        rules=[rig.rule(presign=True)], risk=RiskLimits(burst=1, refill_ms=3_600_000, window_notional="9999999999")
    )
    time.sleep(0.1)
    for seed in (1, 2):
        stage.peer.deliver(rig.deposit(seed))
    assert ID.fullmatch(check_order(stage))
    rig.wait_order(engine, "sent")
    assert rig.wait_order(engine, "refused").reason == "HFT_E_RISK_RATE"
    engine.kill()
    stage.peer.deliver(rig.deposit(3))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_RISK_KILLED"
    assert engine.stats().orders_sent == 1


def test_runs_do_not_share_ids(stage: Stage) -> None:
    ids = []
    for _ in range(2):
        engine = stage.start(rules=[rig.rule(presign=True)])
        time.sleep(0.1)
        stage.peer.deliver(rig.deposit(1))
        ids.append(check_order(stage))
        engine.stop(1.0)
    assert ids[0] != ids[1]
    assert all(map(ID.fullmatch, ids))


def test_the_clock_is_the_venues(stage: Stage) -> None:
    engine = stage.engine(
        peers=[stage.peer_listener], venue=stage.venue_listener, rules=[rig.rule(presign=True)], mode="spin"
    )
    engine.start()
    stage.accept_peer().handshake()
    venue = stage.accept_venue()
    venue.upgrade()
    asked = venue.expect("time")
    venue.reply(asked, {"serverTime": int(time.time() * 1000) + CLOCK_AHEAD_MS})
    venue.reply(venue.expect("userDataStream.subscribe.signature"), {"subscriptionId": 0})
    engine.wait_ready(rig.WAIT_S)
    time.sleep(0.1)
    stage.peer.deliver(rig.deposit(1))
    params = venue.expect_order()["params"]
    assert ID.fullmatch(params["newClientOrderId"])
    assert abs(params["timestamp"] - time.time() * 1000 - CLOCK_AHEAD_MS) < 1000


def test_an_unknown_order_is_asked_for_by_its_id(stage: Stage) -> None:
    engine = stage.start(rules=[rig.rule(presign=True)])
    time.sleep(0.1)
    stage.peer.deliver(rig.deposit(1))
    client_id = check_order(stage)
    rig.wait_order(engine, "sent")
    stage.venue.close()
    rig.wait_order(engine, "unknown")
    stage.accept_venue().login()
    query = stage.venue.expect("order.status")
    assert query["params"]["origClientOrderId"] == client_id


@pytest.mark.parametrize("presign", [False, True])
def test_an_order_may_write_its_time_twice(stage: Stage, presign: bool) -> None:
    market = rig.FAST_BINANCE.orders["MARKET"]
    twice = Template(
        market.message.replace('"params":{', '"date":"${date}","params":{'),
        market.signed,
        {**market.slots, "date": Slot("rfc3339", scale=6, of="timestamp")},
    )
    venue = dataclasses.replace(rig.FAST_BINANCE, orders={"MARKET": twice})
    stage.start(rules=[rig.rule(presign=presign)], venue_data=venue)
    time.sleep(0.1)
    stage.peer.deliver(rig.deposit(1))
    request = stage.venue.expect_order()
    check_signature(request)
    assert (ID.fullmatch(request["id"]) is not None) == presign
    assert datetime.fromisoformat(request["date"]).timestamp() * 1000 == request["params"]["timestamp"]


def test_a_venue_must_allow_it(stage: Stage) -> None:
    venue = dataclasses.replace(rig.FAST_BINANCE, presign_window_ms=0)
    with pytest.raises(ConfigError, match="rule deposit: orders for binance cannot be signed ahead"):
        stage.engine(venue=stage.venue_listener, rules=[rig.rule(presign=True)], venue_data=venue)
