"""What exchanges do to us: every order's true state is found out, and nothing is ordered twice."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

from hftcore import ConnectionLost, Engine, RemoteProtocolError, RiskLimits, TLSError, VenueError
from hftcore.errors import HftError
from hftcore.events import Event, OrderEvent, VenueEvent
from tests.integration import rig
from tests.integration.conftest import Stage


def lost(event: Event) -> bool:
    return isinstance(event, VenueEvent) and event.state == "lost"


def ready(event: Event) -> bool:
    return isinstance(event, VenueEvent) and event.state == "ready"


def order_in_flight(stage: Stage, **settings: object) -> tuple[Engine, dict[str, object], rig.Tx]:
    """An order that has reached the venue and was not answered."""
    engine = stage.start(**settings)
    tx = rig.deposit(1)
    stage.peer.deliver(tx)
    request = stage.venue.expect_order()
    sent = rig.wait_order(engine, "sent")
    assert sent.client_id == request["params"]["newClientOrderId"] == f"h00-{tx.id[:24]}"
    return engine, request, tx


def client_id(request: dict) -> str:  # type: ignore[type-arg]
    return str(request["params"]["newClientOrderId"])


# ---- the life of an order ----


def test_acknowledged_partially_filled_filled(stage: Stage) -> None:
    engine, request, tx = order_in_flight(stage)
    stage.venue.acknowledge(request, 12569099453)
    event = rig.wait_order(engine, "acknowledged")
    assert (event.venue_order_id, event.txid, event.amount_sat) == ("12569099453", tx.id, 2 * rig.COIN)
    assert event.reply_ns > 0
    name = client_id(request)
    stage.venue.report(name, "NEW")  # known already: no second event
    stage.venue.report(name, "PARTIALLY_FILLED", "0.00400000")
    assert rig.wait_order(engine, "partially_filled").filled == "0.00400000"
    stage.venue.report(name, "PARTIALLY_FILLED", "0.00400000")  # the same again: no event
    stage.venue.report(name, "PARTIALLY_FILLED", "0.00700000")
    assert rig.wait_order(engine, "partially_filled").filled == "0.00700000"
    stage.venue.report(name, "FILLED", "0.01000000")
    assert rig.wait_order(engine, "filled").filled == "0.01000000"
    stats = engine.stats()
    assert (stats.orders_sent, stats.orders_acknowledged, stats.orders_filled) == (1, 1, 1)
    assert stats.orders_unknown_now == 0
    assert engine.latency()["reply"].count == 1


def test_fill_before_the_acknowledgement(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.report(client_id(request), "FILLED", "0.01000000")
    assert rig.wait_order(engine, "filled").venue_order_id == "77"
    stage.venue.acknowledge(request)  # late: the order is over
    stage.peer.deliver(rig.deposit(2))
    rig.wait_order(engine, "sent")
    stats = engine.stats()
    assert (stats.orders_acknowledged, stats.orders_filled, stats.orders_sent) == (1, 1, 2)


def test_report_of_an_acknowledgement_before_the_reply(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.report(client_id(request), "NEW")
    rig.wait_order(engine, "acknowledged")
    stage.venue.acknowledge(request)
    stage.venue.report(client_id(request), "FILLED", "0.01000000")
    rig.wait_order(engine, "filled")
    assert engine.stats().orders_acknowledged == 1


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"])
def test_ended_by_the_venue(stage: Stage, status: str) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.acknowledge(request)
    rig.wait_order(engine, "acknowledged")
    stage.venue.report(client_id(request), status, "0.00200000")
    assert rig.wait_order(engine, "canceled").filled == "0.00200000"
    assert engine.stats().orders_canceled == 1


def test_canceled_by_another_hand(stage: Stage) -> None:
    """A cancellation reported under the canceling request's own id ("c"), the order's id standing in "i"."""
    engine, request, _ = order_in_flight(stage)
    stage.venue.acknowledge(request, 4711)
    rig.wait_order(engine, "acknowledged")
    stage.venue.report("web_1234", "CANCELED", order_id=4712)  # not ours
    stage.venue.report("web_1235", "CANCELED", order_id=4711, C=client_id(request))
    event = rig.wait_order(engine, "canceled")
    assert (event.client_id, event.venue_order_id) == (client_id(request), "4711")


@pytest.mark.parametrize(
    ("code", "text", "error_class"),
    [
        (-2010, "Account has insufficient balance for requested action.", "funds"),
        (-1013, "Filter failure: LOT_SIZE", "filter"),
        (-1013, "Filter failure: MAX_NUM_ORDERS", "order_limit"),
        (-1015, "Too many new orders; current limit is 10 orders per 10 SECONDS.", "order_limit"),
        (-1022, "Signature for this request is not valid.", "auth"),
        (-1021, "Timestamp for this request is outside of the recvWindow.", "clock"),
        (-9999, "Something new.", "other"),
    ],
)
def test_rejections(stage: Stage, code: int, text: str, error_class: str) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.refuse(request, code, text)
    event = rig.wait_order(engine, "rejected")
    assert (event.error_class, event.code, event.text) == (error_class, code, text)
    if error_class == "clock":
        assert stage.venue.receive()["method"] == "time"  # the clocks are compared anew
    assert engine.stats().orders_rejected == 1


# ---- unknown ----


def describe(request: dict, status: str, filled: str = "0.00000000") -> dict:  # type: ignore[type-arg]
    return {
        "orderId": 77, "clientOrderId": request["params"]["origClientOrderId"], "status": status,
        "executedQty": filled,
    }  # fmt: skip


def test_stall_becomes_unknown_and_is_asked_for(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    began = time.monotonic()
    event = rig.wait_order(engine, "unknown")
    assert time.monotonic() - began > 0.3
    assert (event.reason, event.error_class) == ("HFT_E_ENGINE_UNKNOWN", "outcome_unknown")
    assert engine.stats().orders_unknown_now == 1
    query = stage.venue.expect("order.status")
    assert query["id"] == f"q-{client_id(request)}"
    assert query["params"]["origClientOrderId"] == client_id(request)
    stage.venue.reply(query, describe(query, "FILLED", "0.01000000"))
    event = rig.wait_order(engine, "filled")
    assert (event.filled, event.reason, event.venue_order_id) == ("0.01000000", "", "77")
    assert engine.stats().orders_unknown_now == 0


@pytest.mark.parametrize("by", ["reply", "report"])
def test_late_acknowledgement_ends_the_doubt(stage: Stage, by: str) -> None:
    engine, request, _ = order_in_flight(stage)
    rig.wait_order(engine, "unknown")
    query = stage.venue.expect("order.status")
    if by == "reply":
        stage.venue.acknowledge(request)
    else:
        stage.venue.report(client_id(request), "NEW")
    rig.wait_order(engine, "acknowledged")
    # The query was overtaken by the order: its answer is older than what is known.
    stage.venue.refuse(query, -2013, "Order does not exist.")
    stage.venue.report(client_id(request), "FILLED", "0.01000000")
    rig.wait_order(engine, "filled")
    assert engine.stats().orders_rejected == 0


def test_outcome_left_open_by_the_venue(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.refuse(request, -1007, "Timeout waiting for response from backend server. Status unknown.", 503)
    event = rig.wait_order(engine, "unknown")
    assert (event.error_class, event.code) == ("outcome_unknown", -1007)
    query = stage.venue.expect("order.status")
    stage.venue.reply(query, describe(query, "NEW"))
    rig.wait_order(engine, "acknowledged")


def test_server_error_of_no_known_code_leaves_the_outcome_open(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.refuse(request, -1000, "An unknown error occurred while processing the request.", 500)
    rig.wait_order(engine, "unknown")


def test_no_such_order_is_believed_only_after_the_timeout(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage, venue_data=dataclasses.replace(rig.FAST_BINANCE, placement_max_ms=1500))
    began = time.monotonic()
    stage.venue.refuse(request, -1007, "Timeout waiting for response from backend server. Status unknown.", 503)
    rig.wait_order(engine, "unknown")
    event = deny_until_told(stage, engine, stage.venue.expect("order.status"))
    assert time.monotonic() - began > 1.4
    assert (event.error_class, event.code) == ("unknown_order", -2013)


def test_no_such_order_is_not_believed_of_a_question_asked_too_early(stage: Stage) -> None:
    """A stalled venue answers late; what counts is when it was asked."""
    engine, request, _ = order_in_flight(stage, venue_data=dataclasses.replace(rig.FAST_BINANCE, placement_max_ms=1500))
    stage.venue.refuse(request, -1007, "Timeout waiting for response from backend server. Status unknown.", 503)
    rig.wait_order(engine, "unknown")
    early = stage.venue.expect("order.status")
    late = stage.venue.expect("order.status")  # a second later
    stage.venue.refuse(early, -2013, "Order does not exist.")
    assert engine.next_event(0.3) is None
    stage.venue.refuse(late, -2013, "Order does not exist.")
    assert rig.wait_order(engine, "rejected").error_class == "unknown_order"


def test_duplicate_client_id_is_the_order_itself(stage: Stage) -> None:
    """Placed before a restart, say: its fate is asked for, not taken for a rejection."""
    engine, request, _ = order_in_flight(stage)
    stage.venue.refuse(request, -2010, "Duplicate order sent.")
    event = rig.wait_order(engine, "unknown")
    assert (event.error_class, event.code) == ("duplicate", -2010)
    query = stage.venue.expect("order.status")
    stage.venue.reply(query, describe(query, "FILLED", "0.01000000"))
    assert rig.wait_order(engine, "filled").filled == "0.01000000"


def test_asked_to_wait(stage: Stage) -> None:
    """No order, no question and no clock comparison goes to a venue that said "too many requests"."""
    engine, request, _ = order_in_flight(stage)
    until_ms = int(time.time() * 1000) + 700
    stage.venue.refuse(request, -1003, "Too many requests.", 429, retryAfter=until_ms)
    assert rig.wait_order(engine, "rejected").error_class == "rate_limit"
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_HOLD"
    time.sleep(max(0.0, until_ms / 1000 - time.time()) + 0.05)
    stage.peer.deliver(rig.deposit(3))
    rig.wait_order(engine, "sent")


def test_a_later_answer_does_not_end_a_ban(stage: Stage) -> None:
    engine, first, _ = order_in_flight(stage)
    stage.peer.deliver(rig.deposit(2))
    second = stage.venue.expect_order()
    rig.wait_order(engine, "sent")
    stage.venue.refuse(first, -1003, "Way too much request weight used.", 418, retryAfter=int(time.time() + 600) * 1000)
    stage.venue.refuse(second, -1003, "Too many requests.", 429, retryAfter=int(time.time() - 1) * 1000)
    for _ in range(2):
        rig.wait_order(engine, "rejected")
    stage.peer.deliver(rig.deposit(3))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_HOLD"


def test_end_of_the_user_stream(stage: Stage) -> None:
    """Fills would go unheard: the stream is subscribed to again, and what was missed is asked for."""
    engine, request, _ = order_in_flight(stage)
    stage.venue.acknowledge(request)
    rig.wait_order(engine, "acknowledged")
    stage.venue.send({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1728973001334}})
    subscription = stage.venue.expect("userDataStream.subscribe.signature")
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_NOT_READY"  # its fill might go unheard
    stage.venue.reply(subscription, {"subscriptionId": 1})
    query = stage.venue.expect("order.status")
    stage.venue.reply(query, describe(query, "FILLED", "0.01000000"))
    rig.wait_order(engine, "filled")
    assert engine.stats().reconnects == 0


def test_a_refused_clock_comparison_keeps_the_venue(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.refuse(request, -1021, "Timestamp for this request is outside of the recvWindow.")
    rig.wait_order(engine, "rejected")
    stage.venue.refuse(stage.venue.expect("time"), -1000, "An unknown error occurred.", 500)
    stage.peer.deliver(rig.deposit(2))
    rig.wait_order(engine, "sent")
    assert engine.stats().reconnects == 0


def deny_until_told(stage: Stage, engine: Engine, query: dict) -> OrderEvent:  # type: ignore[type-arg]
    """Answers that there is no such order, however often it is asked, until the engine tells the order's end."""
    stage.venue.sock.settimeout(0.02)
    deadline = time.monotonic() + rig.WAIT_S
    while time.monotonic() < deadline:
        stage.venue.refuse(query, -2013, "Order does not exist.")
        while True:
            event = engine.next_event(0.02)
            if isinstance(event, OrderEvent):
                assert event.state == "rejected"
                return event
            with contextlib.suppress(TimeoutError):
                query = stage.venue.expect("order.status")
                break
    pytest.fail("the order's end was not told")


@pytest.mark.parametrize(
    ("end", "truth"),
    [
        *itertools.product(["close", "reset", "closing handshake", "shutdown event"], ["FILLED", "NEW", "REJECTED"]),
        ("reset", "none"),
    ],
)
def test_connection_lost_with_an_order_in_flight(stage: Stage, end: str, truth: str) -> None:
    engine, request, _ = order_in_flight(stage)
    if end == "close":
        stage.venue.close()
    elif end == "reset":
        rig.reset(stage.venue.sock)
    elif end == "closing handshake":
        stage.venue.protocol.send_close(1012, "restart")
        stage.venue.flush()
        stage.venue.wait_closed()
    else:
        stage.venue.send({"event": {"e": "serverShutdown", "E": 1}})
        frame = stage.venue.frame()
        assert frame.data[:2] == (1000).to_bytes(2, "big")
        stage.venue.wait_closed()
    event = rig.wait_order(engine, "unknown")
    assert event.reason == "HFT_E_ENGINE_UNKNOWN"
    stage.accept_venue().login()
    query = stage.venue.expect("order.status")
    assert query["params"]["origClientOrderId"] == client_id(request)
    if truth == "none":
        event = deny_until_told(stage, engine, query)
        assert event.error_class == "unknown_order"
    else:
        stage.venue.reply(query, describe(query, truth, "0.01000000" if truth == "FILLED" else "0.00000000"))
        rig.wait_order(engine, {"FILLED": "filled", "NEW": "acknowledged", "REJECTED": "rejected"}[truth])
    assert engine.stats().orders_sent == 1
    assert engine.stats().orders_unknown_now == 0


def test_fill_missed_while_disconnected(stage: Stage) -> None:
    """What happens to an acknowledged order while the connection is down is asked for when it is back."""
    engine, request, _ = order_in_flight(stage)
    stage.venue.acknowledge(request)
    rig.wait_order(engine, "acknowledged")
    rig.reset(stage.venue.sock)
    stage.accept_venue().login()
    query = stage.venue.expect("order.status")
    assert query["params"]["origClientOrderId"] == client_id(request)
    stage.venue.reply(query, describe(query, "FILLED", "0.01000000"))
    assert rig.wait_order(engine, "filled").filled == "0.01000000"


def test_unknown_order_outlives_a_failed_reconnect(stage: Stage) -> None:
    engine, _, _ = order_in_flight(stage)
    rig.reset(stage.venue.sock)
    rig.wait_order(engine, "unknown")
    for _ in range(3):
        rig.reset(stage.venue_listener.accept_socket())
    stage.accept_venue().login()
    query = stage.venue.expect("order.status")
    stage.venue.reply(query, describe(query, "CANCELED"))
    rig.wait_order(engine, "canceled")


# ---- what comes over the wire ----


def raw(data: bytes) -> Callable[[Stage], None]:
    def send(stage: Stage) -> None:
        stage.venue.sock.sendall(data)

    return send


def frame(first: int, payload: bytes) -> bytes:
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + payload


WIRE_FAULTS = {
    "invalid JSON": (frame(0x81, b'{"id": nope}'), RemoteProtocolError, "HFT_E_JSON_SYNTAX", None),
    "plain text": (frame(0x81, b"garbage"), RemoteProtocolError, "HFT_E_JSON_SYNTAX", None),
    "nested too deep": (frame(0x81, b"[" * 100), RemoteProtocolError, "HFT_E_JSON_DEPTH", None),
    "masked": (b"\x81\x82\1\2\3\4\x7a\x7f", RemoteProtocolError, "HFT_E_WS_MASK", 1002),
    "not UTF-8": (frame(0x81, b'"\xff\xfe"'), RemoteProtocolError, "HFT_E_WS_UTF8", 1007),
    "oversized": (b"\x81\x7f" + (70_000).to_bytes(8, "big"), RemoteProtocolError, "HFT_E_WS_TOO_LARGE", 1009),
    "reserved bit": (frame(0xC1, b"{}"), RemoteProtocolError, "HFT_E_WS_RESERVED", 1002),
    "reserved opcode": (frame(0x83, b"{}"), RemoteProtocolError, "HFT_E_WS_OPCODE", 1002),
    "continuation of nothing": (frame(0x80, b"{}"), RemoteProtocolError, "HFT_E_WS_CONTINUATION", 1002),
    "long ping": (frame(0x89, b"x" * 126), RemoteProtocolError, "HFT_E_WS_CONTROL", 1002),
    "close code 1005": (frame(0x88, (1005).to_bytes(2, "big")), RemoteProtocolError, "HFT_E_WS_CLOSE_CODE", 1002),
}


@pytest.mark.parametrize("name", WIRE_FAULTS)
def test_garbage_ends_the_connection_and_the_rest_goes_on(stage: Stage, name: str) -> None:
    data, error, code, close_code = WIRE_FAULTS[name]
    engine = stage.start()
    stage.venue.sock.sendall(data)
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, error)
    assert isinstance(event.error, HftError)
    assert event.error.name == code
    close = stage.venue.wait_closed()
    assert (close.code if close else None) == close_code
    stage.peer.deliver(rig.deposit(1))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_NOT_READY"
    stage.accept_venue().login()
    rig.wait_for(engine, ready)
    stage.peer.deliver(rig.deposit(2))
    stage.venue.expect_order()
    rig.wait_order(engine, "sent")


@pytest.mark.parametrize(("code", "echoed"), [(1000, 1000), (1001, 1001), (1012, 1012), (3999, 3999), (None, None)])
def test_close_codes_are_echoed_and_the_stream_ends_orderly(stage: Stage, code: int | None, echoed: int | None) -> None:
    engine = stage.start()
    stage.venue.sock.sendall(frame(0x88, b"" if code is None else code.to_bytes(2, "big") + b"bye"))
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, ConnectionLost)
    assert event.error.name == "HFT_E_CONN_CLOSED"
    assert str(code or 1005) in str(event.error)
    sock = stage.venue.sock
    assert isinstance(sock, ssl.SSLSocket)
    data = b""
    while piece := sock.recv(4096):
        data += piece
    masked = data[6:]
    payload = bytes(b ^ data[2 + i % 4] for i, b in enumerate(masked))
    assert data[0] == 0x88
    assert payload == (b"" if echoed is None else echoed.to_bytes(2, "big"))


def test_pings_fragments_and_strays(stage: Stage) -> None:
    engine, request, _ = order_in_flight(stage)
    stage.venue.protocol.send_ping(b"are you there")
    stage.venue.flush()
    pong = stage.venue.frame()
    assert (pong.opcode.name, bytes(pong.data)) == ("PONG", b"are you there")
    text = b'{"id":"%s","status":200,"result":{"orderId":5}}' % client_id(request).encode()
    for i, byte in enumerate(text):  # one byte a fragment, pings between
        fin = 0x80 if i == len(text) - 1 else 0
        stage.venue.sock.sendall(bytes([fin | (0 if i else 1), 1, byte]) + (b"\x89\x00" if i % 10 == 5 else b""))
    assert rig.wait_order(engine, "acknowledged").venue_order_id == "5"
    stage.venue.send({"id": None, "status": 400, "error": {"code": -1135, "msg": "Malformed request."}})
    event = rig.wait_for(engine, lambda e: isinstance(e, VenueEvent))
    assert isinstance(event, VenueEvent)
    assert event.state == "ready"
    assert "Malformed request." in str(event.error)


def test_silent_venue_is_pinged_then_left(stage: Stage) -> None:
    engine = stage.start(limits={"venue_ping_interval_ms": 50, "venue_idle_timeout_ms": 300})
    ping = stage.venue.frame()
    assert ping.opcode.name == "PING"
    stage.venue.sock.setblocking(True)
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, ConnectionLost)
    assert event.error.name == "HFT_E_CONN_IDLE_TIMEOUT"
    stage.accept_venue().login()
    rig.wait_for(engine, ready)


# ---- set-up ----


def test_login_refused(stage: Stage) -> None:
    engine = stage.engine(venue=stage.venue_listener)
    engine.start()
    link = stage.accept_venue().upgrade()
    request = link.expect("userDataStream.subscribe.signature")
    link.refuse(request, -2015, "Invalid API-key, IP, or permissions for action.", 401)
    with pytest.raises(VenueError, match=r"-2015 Invalid API-key, IP, or permissions"):
        engine.wait_ready(rig.WAIT_S)


def test_time_refused(stage: Stage) -> None:
    engine = stage.engine(venue=stage.venue_listener)
    engine.start()
    link = stage.accept_venue().upgrade()
    link.refuse(link.receive(), -1003, "Too many requests.", 429)
    with pytest.raises(VenueError, match="-1003 Too many requests"):
        engine.wait_ready(rig.WAIT_S)


ACCEPT = "Sec-WebSocket-Accept: {accept}\r\n"
HEAD = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
BAD_UPGRADES = {
    "wrong accept": (HEAD + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "HFT_E_HTTP_ACCEPT"),
    "no accept": (HEAD + "\r\n", "HFT_E_HTTP_ACCEPT"),
    "403": ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HFT_E_HTTP_STATUS"),
    "redirect": ("HTTP/1.1 302 Found\r\nLocation: wss://elsewhere/\r\n\r\n", "HFT_E_HTTP_STATUS"),
    "extension": (HEAD + ACCEPT + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "HFT_E_HTTP_EXTENSION"),
    "subprotocol": (HEAD + ACCEPT + "Sec-WebSocket-Protocol: chat\r\n\r\n", "HFT_E_HTTP_EXTENSION"),
    "no upgrade": ("HTTP/1.1 101 Hm\r\nConnection: Upgrade\r\n" + ACCEPT + "\r\n", "HFT_E_HTTP_UPGRADE"),
    "not HTTP": ("SSH-2.0-OpenSSH_9.2\r\n", "HFT_E_HTTP_SYNTAX"),
    "endless head": (HEAD + "X-Long: " + "x" * 20_000, "HFT_E_HTTP_TOO_LARGE"),
}


@pytest.mark.parametrize("name", BAD_UPGRADES)
def test_bad_upgrade(stage: Stage, name: str) -> None:
    response, code = BAD_UPGRADES[name]
    engine = stage.engine(venue=stage.venue_listener)
    engine.start()
    link = stage.accept_venue()
    accept = link.protocol.accept(link.receive_request()).headers["Sec-WebSocket-Accept"]
    link.sock.sendall(response.format(accept=accept).encode())
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, RemoteProtocolError)
    assert event.error.name == code
    stage.accept_venue().login()
    engine.wait_ready(rig.WAIT_S)


def test_upgrade_request(stage: Stage) -> None:
    engine = stage.start()
    request = stage.venue.request
    assert request is not None
    assert request.path == "/ws-api/v3"
    assert request.headers["Host"] == f"localhost:{stage.venue_listener.port}"
    assert request.headers["User-Agent"] == "hftcore"
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert engine.backend == stage.backend


@pytest.mark.parametrize("stage_of_silence", ["TCP", "TLS", "upgrade", "time"])
def test_silence_during_the_handshake(stage: Stage, stage_of_silence: str) -> None:
    engine = stage.engine(venue=stage.venue_listener, limits={"venue_handshake_timeout_ms": 150})
    engine.start()
    if stage_of_silence == "TCP":
        stage.later(stage.venue_listener.accept_socket())
    elif stage_of_silence == "TLS":
        stage.accept_venue()
    else:
        link = stage.accept_venue()
        if stage_of_silence == "time":
            link.upgrade()
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, ConnectionLost)
    assert event.error.name == "HFT_E_CONN_HANDSHAKE_TIMEOUT"


def test_refused_connections_are_retried_with_growing_delays(stage: Stage, closed_port: int) -> None:
    venue = rig.VenueListener(stage.trust.context)
    venue.close()
    venue.port = closed_port
    engine = stage.engine(venue=venue, limits={"backoff_min_ms": 20, "backoff_max_ms": 160})
    engine.start()
    times = []
    for _ in range(6):
        event = rig.wait_for(engine, lost)
        assert isinstance(event, VenueEvent)
        assert isinstance(event.error, ConnectionRefusedError)
        times.append(event.time_ns / 1e6)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    for gap, least in zip(gaps, (10, 20, 40, 80, 80), strict=True):
        assert gap >= least - 1
    with pytest.raises(ConnectionRefusedError):
        engine.wait_ready(0.01)


def test_flapping_venue_is_not_stormed(stage: Stage) -> None:
    """A venue that drops every connection as soon as it is ready is left alone for longer and longer."""
    engine = stage.engine(venue=stage.venue_listener, limits={"backoff_min_ms": 10, "backoff_max_ms": 2000})
    engine.start()
    times = []
    for _ in range(6):
        link = stage.accept_venue().login()
        times.append(time.monotonic())
        rig.wait_for(engine, ready)
        rig.reset(link.sock)
    assert times[5] - times[4] >= 0.08  # half of 10 ms doubled four times


# ---- refusals ----


def test_refused_while_not_ready(stage: Stage) -> None:
    engine = stage.engine(peers=[stage.peer_listener], venue=stage.venue_listener, rules=[rig.rule()])
    engine.start()
    stage.accept_peer().handshake()
    stage.peer.deliver(rig.deposit(1))
    event = rig.wait_order(engine, "refused")
    assert (event.reason, event.txid) == ("HFT_E_ENGINE_NOT_READY", rig.deposit(1).id)
    link = stage.accept_venue().upgrade()
    request = link.expect("userDataStream.subscribe.signature")
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_NOT_READY"
    link.reply(request, {"subscriptionId": 0})
    rig.wait_for(engine, ready)
    stage.peer.deliver(rig.deposit(3))
    rig.wait_order(engine, "sent")
    assert link.expect_order()["params"]["newClientOrderId"] == f"h00-{rig.deposit(3).id[:24]}"
    assert engine.stats().orders_refused == 2


def test_kill_switch(stage: Stage) -> None:
    engine = stage.start()
    engine.kill()
    stage.peer.deliver(rig.deposit(1))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_RISK_KILLED"
    engine.kill(False)
    stage.peer.deliver(rig.deposit(2))
    rig.wait_order(engine, "sent")
    assert client_id(stage.venue.expect_order()) == f"h00-{rig.deposit(2).id[:24]}"


@pytest.mark.parametrize(
    ("limits", "cooldown_ms", "reason"),
    [
        ({"burst": 2, "refill_ms": 3_600_000}, 0, "HFT_E_RISK_RATE"),
        ({"window_orders": 2}, 0, "HFT_E_RISK_ORDERS"),
        ({"window_notional": "1799.99"}, 0, "HFT_E_RISK_NOTIONAL"),
        ({}, 3_600_000, "HFT_E_RISK_COOLDOWN"),
    ],
)
def test_risk_limits(stage: Stage, limits: dict[str, Any], cooldown_ms: int, reason: str) -> None:
    risk = dataclasses.replace(rig.WIDE_RISK, **limits)
    engine = stage.start(rules=[rig.rule(cooldown_ms=cooldown_ms)], risk=risk)
    states = []
    for seed in range(4):
        stage.peer.deliver(rig.deposit(seed))
        event = rig.wait_for(engine, lambda e: isinstance(e, OrderEvent))
        assert isinstance(event, OrderEvent)
        states.append((event.state, event.reason))
    allowed = 1 if cooldown_ms else 2
    assert states == [("sent", "")] * allowed + [("refused", reason)] * (4 - allowed)
    for seed in range(allowed):
        assert client_id(stage.venue.expect_order()) == f"h00-{rig.deposit(seed).id[:24]}"
    assert engine.stats().orders_sent == allowed


def test_too_many_orders_without_an_answer(stage: Stage) -> None:
    engine = stage.start(limits={"pending_orders": 2, "order_timeout_ms": 60_000})
    for seed in range(2):
        stage.peer.deliver(rig.deposit(seed))
        rig.wait_order(engine, "sent")
    stage.peer.deliver(rig.deposit(2))
    assert rig.wait_order(engine, "refused").reason == "HFT_E_ENGINE_PENDING_FULL"
    request = stage.venue.expect_order()
    stage.venue.report(client_id(request), "FILLED", "0.01000000")
    rig.wait_order(engine, "filled")
    stage.peer.deliver(rig.deposit(3))
    rig.wait_order(engine, "sent")


def test_nobody_reads_the_events(stage: Stage) -> None:
    """No order leaves whose fate could not be told."""
    engine = stage.start(limits={"event_queue": 256, "pending_orders": 1024, "order_timeout_ms": 60_000})
    for seed in range(200):
        stage.peer.deliver(rig.deposit(seed))
    stage.peer.settle()
    stats = engine.stats()
    assert stats.orders_sent + stats.orders_refused == 200
    assert 50 < stats.orders_sent < 200
    assert stats.events_dropped > 0
    sent = {event.client_id for event in iter(lambda: engine.next_event(0), None)
            if isinstance(event, OrderEvent) and event.state == "sent"}  # fmt: skip
    assert len(sent) == stats.orders_sent
    assert {client_id(stage.venue.expect_order()) for _ in range(stats.orders_sent)} == sent


def test_dry_run_sends_nothing(stage: Stage) -> None:
    engine = stage.start(dry_run=True)
    stage.peer.deliver(rig.deposit(1))
    event = rig.wait_order(engine, "dry_run")
    assert event.stages is not None
    assert event.stages["total"] >= event.stages["build"] > 0
    stage.venue.protocol.send_ping(b"")
    stage.venue.flush()
    assert stage.venue.frame().opcode.name == "PONG"  # and no order before it
    assert engine.stats().orders_dry_run == 1


def test_default_risk_limits_are_small() -> None:
    limits = RiskLimits()
    assert (limits.burst, limits.window_orders, limits.window_notional) == (1, 10, "1000")


def test_plain_websocket_on_loopback(stage: Stage) -> None:
    with rig.VenueListener(None) as venue:
        engine = stage.engine(peers=[stage.peer_listener], venue=venue, rules=[rig.rule()])
        engine.start()
        stage.accept_peer().handshake()
        link = stage.later(venue.accept().login())
        engine.wait_ready(rig.WAIT_S)
        stage.peer.deliver(rig.deposit(1))
        link.acknowledge(link.expect_order())
        rig.wait_order(engine, "sent")
        rig.wait_order(engine, "acknowledged")


def test_stream_cut_without_close_notify(stage: Stage) -> None:
    engine = stage.start()
    raw_socket = stage.venue.sock.detach()
    socket.socket(fileno=raw_socket).close()
    event = rig.wait_for(engine, lost)
    assert isinstance(event, VenueEvent)
    assert isinstance(event.error, TLSError)
    assert event.error.name == "HFT_E_TLS_TRUNCATED"
