"""TLS as our client meets it: servers by OpenSSL's s_server, Python's ssl and `websockets`, good and bad.

A bad one is refused with a TLSError that says what is wrong, and is told so by the right alert.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from hftcore import Engine, TLSError
from hftcore.events import VenueEvent
from runner.sim.binance import sign
from runner.sim.certificates import Authority
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.tls_servers import OpenSSLServer, Place


def refused(stage: Stage, listener: rig.Listener, host: str = "localhost", **settings: Any) -> TLSError:
    """What wait_ready raises for this venue; it must do so long before the time is over."""
    engine = stage.engine(venue=listener, host=host, **settings)
    engine.start()
    began = time.monotonic()
    with pytest.raises(TLSError) as caught:
        engine.wait_ready(rig.WAIT_S)
    assert time.monotonic() - began < rig.WAIT_S / 2
    return caught.value


@contextlib.contextmanager
def handshakes(listener: rig.VenueListener) -> Iterator[list[str]]:
    """Accepts in a thread; collects what the server's side says of each failed handshake."""
    problems: list[str] = []

    def run() -> None:
        while True:
            try:
                sock = listener.accept_socket()
            except OSError:
                return
            assert listener.context is not None
            try:
                with listener.context.wrap_socket(sock, server_side=True) as secure:
                    secure.recv(1)
                problems.append("none")
            except OSError as error:
                problems.append(str(error))
                sock.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield problems
    finally:
        listener.sock.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(rig.WAIT_S)


# name -> (names and dates of the certificate, host asked for, code, the alert the server gets, what the text says)
CERTIFICATES: dict[str, tuple[dict[str, Any], str, str, str, str]] = {
    "wrong host": ({"names": ("other.example",)}, "localhost", "HFT_E_TLS_HOSTNAME", "ALERT_BAD_CERTIFICATE",
                   "CN=other.example, which is for other.example"),
    "wrong address": ({"names": ("localhost", "127.0.0.2")}, "127.0.0.1", "HFT_E_TLS_HOSTNAME",
                      "ALERT_BAD_CERTIFICATE", "is for localhost, 127.0.0.2"),
    "address as a name": ({"names": ("localhost",)}, "127.0.0.1", "HFT_E_TLS_HOSTNAME", "ALERT_BAD_CERTIFICATE",
                          "is for localhost"),
    "wildcard of a top level": ({"names": ("*",)}, "localhost", "HFT_E_TLS_HOSTNAME", "ALERT_BAD_CERTIFICATE", ""),
    "expired": ({"valid_days": (-3, -2)}, "localhost", "HFT_E_TLS_EXPIRED", "ALERT_CERTIFICATE_EXPIRED", "expired"),
    "not yet valid": ({"valid_days": (2, 3)}, "localhost", "HFT_E_TLS_NOT_YET_VALID", "ALERT_BAD_CERTIFICATE",
                      "not yet valid"),
    "self-signed": ({"self_signed": True}, "localhost", "HFT_E_TLS_SELF_SIGNED", "ALERT_UNKNOWN_CA", "self-signed"),
}  # fmt: skip


@pytest.mark.parametrize("name", CERTIFICATES)
def test_bad_certificates(stage: Stage, name: str) -> None:
    certificate, host, code, alert, text = CERTIFICATES[name]
    listener = rig.VenueListener(stage.trust.authority.server_context(**certificate))
    with handshakes(listener) as problems:
        error = refused(stage, listener, host)
        rig.wait_until(lambda: bool(problems))
    assert error.name == code
    assert text in str(error)
    assert host in str(error)
    assert alert in problems[0].upper().replace(" ", "_"), problems[0]


@pytest.mark.parametrize("trusting", ["our CA", "the system's"])
def test_unknown_authority(stage: Stage, trusting: str) -> None:
    other = Authority("somebody else") if trusting == "our CA" else stage.trust.authority
    listener = rig.VenueListener(other.server_context())
    if trusting == "the system's":
        engine = rig.engine_for(venue=listener, backend=stage.backend)
        stage.engines.append(engine)
        engine.start()
    with handshakes(listener) as problems:
        if trusting == "our CA":
            error = refused(stage, listener)
        else:
            with pytest.raises(TLSError) as caught:
                engine.wait_ready(rig.WAIT_S)
            error = caught.value
        rig.wait_until(lambda: bool(problems))
    assert error.name == "HFT_E_TLS_UNKNOWN_CA"
    assert "UNKNOWN_CA" in problems[0].upper().replace(" ", "_")


def test_no_order_and_no_login_before_the_certificate_is_checked(stage: Stage) -> None:
    """Nothing of ours, the key's name above all, reaches a server that is not the right one."""
    listener = rig.VenueListener(stage.trust.authority.server_context(("other.example",)))
    with handshakes(listener) as problems:
        refused(stage, listener)
        rig.wait_until(lambda: bool(problems))
    assert "none" not in problems


def test_client_certificate_wanted(stage: Stage) -> None:
    context = stage.trust.authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=stage.trust.authority.pem.decode())
    listener = rig.VenueListener(context)
    with handshakes(listener):
        error = refused(stage, listener)
    assert error.name == "HFT_E_TLS_CLIENT_CERT"
    assert "it demands a client certificate, and the TLS context has none" in str(error)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_addresses_in_the_certificate(stage: Stage, address: str) -> None:
    if address == "::1":
        try:
            socket.create_server((address, 0), family=socket.AF_INET6).close()
        except OSError as error:
            pytest.skip(f"no IPv6 on loopback: {error}")
    listener = stage.later(rig.VenueListener(stage.trust.authority.server_context((address,)), address))
    names: list[str | None] = []
    listener.context.sni_callback = lambda _sock, name, _context: names.append(name)
    engine = stage.engine(venue=listener, host=f"[{address}]" if ":" in address else address)
    engine.start()
    stage.later(listener.accept().login())
    engine.wait_ready(rig.WAIT_S)
    assert names == [None]  # RFC 6066 section 3: no literal addresses in SNI


def test_server_name_indication(stage: Stage) -> None:
    names: list[str | None] = []
    context = stage.trust.authority.server_context()
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    listener = stage.later(rig.VenueListener(context))
    engine = stage.engine(venue=listener)
    engine.start()
    stage.later(listener.accept().login())
    engine.wait_ready(rig.WAIT_S)
    assert names == ["localhost"]


# ---- servers that do not speak our TLS ----


def answer_once(listener: rig.Listener, answer: bytes) -> threading.Thread:
    """Sends the answer to whoever connects, and closes."""

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = listener.accept_socket()
                sock.recv(4096)
                sock.sendall(answer)
                sock.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HFT_E_TLS_NOT_TLS", '"HTTP/1.1", which is no TLS'),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HFT_E_TLS_NOT_TLS", '"SSH-2.0-"'),
        (bytes(100), "HFT_E_TLS_NOT_TLS", '"........"'),
        (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", "HFT_E_TLS_PROTOCOL", ""),  # a ServerHello of no length
        (b"\x15\x03\x03\x00\x02\x02\x28", "HFT_E_TLS_PROTOCOL", "handshake_failure (40)"),
    ],
    ids=["http", "ssh", "zeros", "empty hello", "alert"],
)
def test_not_tls(stage: Stage, answer: bytes, code: str, text: str) -> None:
    listener = rig.VenueListener(stage.trust.context)
    thread = answer_once(listener, answer)
    error = refused(stage, listener)
    listener.sock.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(rig.WAIT_S)
    assert error.name == code
    assert text in str(error)
    assert "localhost" in str(error)


def test_closed_during_the_handshake(stage: Stage) -> None:
    """Time may mend this one (a server that is starting), so it is raised only when the time is over."""
    listener = rig.VenueListener(stage.trust.context)
    thread = answer_once(listener, b"")
    engine = stage.engine(venue=listener)
    engine.start()
    with pytest.raises(TLSError) as caught:
        engine.wait_ready(0.3)
    listener.sock.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(rig.WAIT_S)
    assert caught.value.name == "HFT_E_TLS_TRUNCATED"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_server_accepted(stage: Stage, tmp_path: Path, version: str) -> None:
    """The handshake succeeds, and our upgrade request is what arrives on the other side."""
    place = Place(tmp_path)
    server = stage.later(OpenSSLServer(place, version))
    engine = rig.engine_for(venue=server, ca_file=place.file(place.root.pem), backend=stage.backend)
    stage.engines.append(engine)
    engine.start()
    assert b"GET / HTTP/1.1" in server.wait_for(b"GET / HTTP/1.1")


# ---- a whole exchange by `websockets` ----


class Venue:
    """The least exchange that will do, on `websockets`' own server: time, login, orders. behave: what it does with an
    order before it answers."""

    def __init__(self, context: ssl.SSLContext, behave: str = "", compression: str | None = "deflate") -> None:
        self.behave = behave
        self.orders: list[dict[str, Any]] = []
        self.closed: list[ConnectionClosed] = []
        self.versions: list[str | None] = []
        self.offers: list[str | None] = []
        self.server: Server = serve(self._handle, "127.0.0.1", 0, ssl=context, compression=compression)
        self.port = self.server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def url(self, host: str = "localhost") -> str:
        return f"wss://{host}:{self.port}/ws-api/v3"

    def _handle(self, ws: ServerConnection) -> None:
        assert isinstance(ws.socket, ssl.SSLSocket)
        assert ws.request is not None
        self.versions.append(ws.socket.version())
        self.offers.append(ws.request.headers.get("Sec-WebSocket-Extensions"))
        try:
            for message in ws:
                self._answer(ws, json.loads(message))
        except ConnectionClosed as error:
            self.closed.append(error)

    def _answer(self, ws: ServerConnection, request: dict[str, Any]) -> None:
        params = request.get("params", {})
        if "signature" in params and params["signature"] != sign(rig.SECRET.decode(), params):
            self._send(ws, {"id": request["id"], "status": 400, "error": {"code": -1022, "msg": "Signature"}})
            return
        result = {
            "time": {"serverTime": time.time_ns() // 1_000_000},
            "userDataStream.subscribe.signature": {"subscriptionId": 0},
            "order.status": {"orderId": 9, "status": "FILLED", "executedQty": "0.01000000"},
            "order.place": {"orderId": 9, "clientOrderId": params.get("newClientOrderId")},
        }[request["method"]]
        if request["method"] == "order.place":
            self.orders.append(params)
            if self.behave == "ping":
                assert ws.ping().wait(rig.WAIT_S)
            elif self.behave == "close":
                ws.close(4001, "maintenance")
                return
        self._send(ws, {"id": request["id"], "status": 200, "result": result})

    def _send(self, ws: ServerConnection, reply: dict[str, Any]) -> None:
        text = json.dumps(reply)
        ws.send((text[i : i + 7] for i in range(0, len(text), 7)) if self.behave == "fragments" else text)

    def close(self) -> None:
        self.server.shutdown()  # twice is no error
        self._thread.join(rig.WAIT_S)


def with_venue(stage: Stage, venue: Venue) -> Engine:
    stage.later(venue)
    engine = stage.engine(peers=[stage.peer_listener], venue=venue, rules=[rig.rule()])
    engine.start()
    stage.accept_peer().handshake()
    engine.wait_ready(rig.WAIT_S)
    return engine


def context_for(trust: rig.Trust, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    context = trust.authority.server_context()
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_3, ""),
        (ssl.TLSVersion.TLSv1_2, ""),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384"),
    ],
    ids=["1.3", "1.2", "1.2-chacha20", "1.2-cbc"],
)
@pytest.mark.parametrize("behave", ["", "fragments", "ping"])
def test_orders_reach_a_foreign_server(stage: Stage, version: ssl.TLSVersion, ciphers: str, behave: str) -> None:
    venue = Venue(context_for(stage.trust, version, ciphers), behave)
    engine = with_venue(stage, venue)
    for seed in range(3):
        tx = rig.deposit(seed)
        stage.peer.deliver(tx)
        assert rig.wait_order(engine, "sent").txid == tx.id
        assert rig.wait_order(engine, "acknowledged").venue_order_id == "9"
    assert [order["newClientOrderId"] for order in venue.orders] == [f"h00-{rig.deposit(i).id[:24]}" for i in range(3)]
    assert venue.versions == [version.name.replace("_", ".")]
    assert venue.offers == [None]  # compression, which the server would do, is not asked for


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2], ids=["1.3", "1.2"])
def test_session_is_resumed(stage: Stage, version: ssl.TLSVersion) -> None:
    """Also after a connection that ended by a reset."""
    listener = stage.later(rig.VenueListener(context_for(stage.trust, version)))
    engine = stage.engine(venue=listener)
    engine.start()
    for i, end in enumerate(["close frame", "reset", "end"]):
        link = stage.later(listener.accept().login())
        event = rig.wait_for(engine, lambda e: isinstance(e, VenueEvent) and e.state == "ready")
        assert isinstance(event, VenueEvent)
        assert isinstance(link.sock, ssl.SSLSocket)
        assert event.resumed == link.sock.session_reused == (i > 0)
        if end == "close frame":
            link.protocol.send_close(1001)
            link.flush()
            link.wait_closed()
        elif end == "reset":
            rig.reset(link.sock)


def test_close_code_of_a_foreign_server(stage: Stage) -> None:
    venue = Venue(stage.trust.context, "close")
    engine = with_venue(stage, venue)
    stage.peer.deliver(rig.deposit(1))
    rig.wait_order(engine, "sent")
    rig.wait_order(engine, "unknown")
    event = rig.wait_for(engine, lambda e: isinstance(e, VenueEvent) and e.state == "lost")
    assert isinstance(event, VenueEvent)
    assert "4001 maintenance" in str(event.error)
    assert rig.wait_order(engine, "filled").filled == "0.01000000"


def test_our_close_is_clean_for_a_foreign_server(stage: Stage) -> None:
    venue = Venue(stage.trust.context)
    engine = with_venue(stage, venue)
    engine.stop()
    venue.close()
    assert venue.closed == []  # iteration ended by itself: code 1000, both ways
