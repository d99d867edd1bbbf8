"""The options of a connection: what they become, and what is said of wrong ones."""

from __future__ import annotations

import base64
import math
import socket
from typing import Any

import pytest
from websockets.uri import parse_uri

from hftcore import OrderTemplate
from hftcore._request import RANGES, AppPing, Deflate, Proxy, Request
from hftcore.endpoints import parse_websocket_url
from hftcore.errors import ConfigError, RemoteProtocolError
from hftcore.reconnect import Reconnect
from hftcore.tls import TLSContext
from hftcore.venues import Slot


def request(url: str = "wss://exchange.example/ws", **options: Any) -> Request:
    return Request.parse(url, **options)


# ---- URLs ----


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://h.example", (False, "h.example", 80, "h.example", "/")),
        ("wss://h.example", (True, "h.example", 443, "h.example", "/")),
        ("WSS://H.Example:443/a?b=c", (True, "h.example", 443, "h.example", "/a?b=c")),
        ("ws://h.example:443", (False, "h.example", 443, "h.example:443", "/")),
        ("ws://h.example?x=1", (False, "h.example", 80, "h.example", "/?x=1")),
        ("ws://[2001:DB8:0::1]:81/x", (False, "2001:db8::1", 81, "[2001:db8::1]:81", "/x")),
        ("wss://[::1]", (True, "::1", 443, "[::1]", "/")),
        ("wss://é.example/ä?ö=%20", (True, "xn--9ca.example", 443, "xn--9ca.example", "/%C3%A4?%C3%B6=%20")),
        (
            "wss://h.example/ws/btcusdt@trade/!ticker",
            (True, "h.example", 443, "h.example", "/ws/btcusdt@trade/!ticker"),
        ),
        ("ws://h.example/%23", (False, "h.example", 80, "h.example", "/%23")),
    ],
)
def test_urls_taken_apart(url: str, expected: tuple[bool, str, int, str, str]) -> None:
    tls, host, port, header, target = expected
    endpoint = parse_websocket_url(url)
    assert (endpoint.tls, endpoint.host, endpoint.port) == (tls, host, port)
    assert (endpoint.host_header, endpoint.target, endpoint.unix_path) == (header, target, "")
    assert parse_websocket_url(endpoint.url) == endpoint
    if url.isascii() and "[" not in url:
        theirs = parse_uri(url)
        assert (theirs.secure, theirs.host, theirs.port, theirs.resource_name) == (tls, host, port, target)


def test_urls_of_unix_sockets() -> None:
    endpoint = parse_websocket_url("ws+unix:///run/my%20echo.sock:/chat?a=b:c")
    assert (endpoint.unix_path, endpoint.target, endpoint.tls) == ("/run/my echo.sock", "/chat?a=b:c", False)
    assert (endpoint.host, endpoint.host_header, endpoint.port) == ("localhost", "localhost", 80)
    assert parse_websocket_url("wss+unix:///run/s").target == "/"
    assert parse_websocket_url("wss+unix:///run/s").tls
    assert endpoint.origin == "ws+unix:///run/my echo.sock"


def test_a_user_name_becomes_a_header_and_is_shown_nowhere() -> None:
    sent = request("wss://m%C3%AD:hid%3Aden%0A@h.example/x?token=hidden")
    (endpoint,) = sent.endpoints
    assert sent.header_lines(endpoint).endswith(
        b"\r\nAuthorization: Basic " + base64.b64encode("mí:hid:den\n".encode()) + b"\r\n"
    )
    assert endpoint.url == "wss://h.example/x?token=hidden"
    for shown in (endpoint.origin, repr(endpoint), repr(sent)):
        assert "hid" not in shown
        assert endpoint.authorization not in shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h.example/", "wss://HOST"),
        ("h.example", "wss://HOST"),
        ("", "wss://HOST"),
        ("wss://", "host is missing"),
        ("wss:///path", "host is missing"),
        ("wss://:443/", "host is missing"),
        ("wss://h.example/#part", "fragment"),
        ("wss://h.example/#", "fragment"),
        ("wss://h.example:0/", "port"),
        ("wss://h.example:65536/", "[Pp]ort"),
        ("wss://h.example:x/", "[Pp]ort"),
        ("wss://h.example/a b", "blank"),
        ("wss://h.example/a\r\nX: y", "blank"),
        ("wss://h..example/", "host name"),
        ("wss://-h.example/", "host name"),
        ("wss://h_!.example/", "host name"),
        ("wss://" + "a" * 64 + ".example/", "host name"),
        ("wss://[::1/", "IPv6"),
        ("wss://[fe80::1%25eth0]/", "zone"),
        ("wss://h%41.example/", "escapes"),
        ("ws+unix://host/run/s", "PATH"),
        ("ws+unix://", "PATH"),
        ("ws+unix:///" + "x" * 107, "107"),
        ("ws+unix:///run/s:chat", "begin with /"),
    ],
)
def test_urls_that_cannot_be(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_websocket_url(url)


def test_an_error_keeps_secrets() -> None:
    for url in ("wss://key:hidden@h.example:x/?token=hidden", "wss://key:hidden@h.example/#?token=hidden"):
        with pytest.raises(ConfigError) as caught:
            parse_websocket_url(url)
        assert "hidden" not in str(caught.value)


def test_urls_of_a_request() -> None:
    urls = ["wss://a.example", "wss://b.example"]
    assert len(Request.parse(urls, reconnect=Reconnect()).endpoints) == 2
    with pytest.raises(ConfigError, match="reconnect"):
        Request.parse(urls)
    with pytest.raises(ConfigError, match="twice"):
        Request.parse([*urls, urls[0]], reconnect=Reconnect())
    for wrong in ([], 5, None, [5], b"wss://a.example", urls * 9):
        with pytest.raises(ConfigError, match="url"):
            Request.parse(wrong, reconnect=Reconnect())  # type: ignore[arg-type]


# ---- headers, subprotocols ----


def test_headers_are_encoded_once() -> None:
    sent = request(headers={"X-Key": "a b", "Origin": "https://é.example"})
    (endpoint,) = sent.endpoints
    assert sent.header_lines(endpoint) == (
        "X-Key: a b\r\nOrigin: https://é.example\r\nUser-Agent: hftcore\r\n".encode("latin-1")
    )
    twice = request(headers=[("X-A", "1"), ("X-A", "2"), ("user-agent", "me")])
    assert twice.header_lines(twice.endpoints[0]) == b"X-A: 1\r\nX-A: 2\r\nuser-agent: me\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"X Y": "1"},
        {"": "1"},
        {"X:": "1"},
        {"X\r\nY": "1"},
        {"X": "hidden\r\nY: 2"},
        {"X": "hidden\0"},
        {"X": " hidden"},
        {"X": "hidden\u20ac"},
        {"X": 5},
        {5: "hidden"},
        {"Host": "hidden"},
        {"upgrade": "hidden"},
        {"Connection": "hidden"},
        {"Content-Length": "0"},
        {"Sec-WebSocket-Key": "hidden"},
        {"sec-websocket-extensions": "hidden"},
        [("X",)],
        ["XY", "Z"],
        5,
        {"X": "h" * 6144},
    ],
)
def test_headers_that_cannot_be(headers: Any) -> None:
    with pytest.raises(ConfigError, match="headers") as caught:
        request(headers=headers)
    assert "hidden" not in str(caught.value)


def test_two_authorizations_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="Authorization"):
        request("wss://a:b@h.example", headers={"authorization": "Bearer x"})
    assert "Bearer" not in repr(request(headers={"Authorization": "Bearer x"}))


def test_subprotocols() -> None:
    assert request(subprotocols=["mqtt", "v10.stomp"]).subprotocol_list == b"mqtt, v10.stomp"
    assert request().subprotocol_list == b""
    for wrong in ("mqtt", ["a b"], ["a,b"], [""], ["a", "a"], [5], ["x" * 257]):
        with pytest.raises(ConfigError, match="subprotocols"):
            request(subprotocols=wrong)


# ---- the others ----


@pytest.mark.parametrize("name", RANGES)
def test_numbers_have_bounds(name: str) -> None:
    low, high = RANGES[name]
    for good in (low, high):
        assert getattr(request(**{name: good}), name) == good
    for wrong in (low - 1, high + 1, math.nan, math.inf, True, "5", None):
        with pytest.raises(ConfigError, match=name):
            request(**{name: wrong})
    if not name.endswith("_s"):
        with pytest.raises(ConfigError, match="an int"):
            request(**{name: low + 0.5})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodelay": 1}, "nodelay"),
        ({"kernel_timestamps": None}, "kernel_timestamps"),
        ({"compression": "deflate"}, "compression: Deflate"),
        ({"compression": True}, "compression: Deflate"),
        ({"app_ping": "ping"}, "app_ping: AppPing"),
        ({"reconnect": True}, "reconnect: Reconnect"),
        ({"socket_options": [(1, 2)]}, "socket_options"),
        ({"socket_options": [(1, 2, "x")]}, "socket_options"),
        ({"compresion": None}, "unknown option compresion; there are headers"),
        ({"connect_to": "a:b:c"}, "connect_to"),
        ({"connect_to": 5}, "connect_to"),
        ({"local_address": "host.example"}, "IP address of this machine"),
        ({"local_address": "127.0.0.1:99999"}, "local_address"),
        ({"proxy": "http://p.example:1", "connect_to": "10.0.0.1"}, "not with a proxy"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        request(**options)


@pytest.mark.parametrize(
    "options", [{"proxy": "http://p.example:1"}, {"connect_to": "10.0.0.1"}, {"local_address": "127.0.0.1"}]
)
def test_a_unix_socket_has_no_network(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Unix"):
        request("ws+unix:///run/s", **options)


def test_tls_options_ask_for_tls() -> None:
    with pytest.raises(ConfigError, match="write wss"):
        request("ws://h.example", tls=TLSContext())


def test_addresses() -> None:
    assert request(connect_to="10.0.0.1").connect_to == ("10.0.0.1", None)
    assert request(connect_to="[::1]:5").connect_to == ("::1", 5)
    assert request(local_address="127.0.0.1").local_address == ("127.0.0.1", 0)
    assert request(local_address="::1").local_address == ("::1", 0)
    assert request(local_address="[::1]:7").local_address == ("::1", 7)
    assert request(socket_options=[(socket.SOL_SOCKET, socket.SO_PRIORITY, 6), (6, 1, b"x")]).socket_options == (
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 6),
        (6, 1, b"x"),
    )


def test_proxies() -> None:
    assert request(proxy="http://p.example:3128").proxy == Proxy("http", "p.example", 3128)
    proxy = request(proxy="socks5h://us%40er:hid%3Aden@[::1]:1080/").proxy
    assert proxy == Proxy("socks5h", "::1", 1080, "us@er", "hid:den")
    assert "hid" not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://p.example:1", "behind TLS"),
        ("socks4://p.example:1", "socks5"),
        ("p.example:1", "socks5"),
        ("http://p.example", "HOST:PORT"),
        ("http://:1", "HOST:PORT"),
        ("http://p.example:1/path", "HOST:PORT"),
        ("http://p.example:99999", "[Pp]ort"),
        ("http://us%3Aer:hidden@p.example:1", "colon"),
        ("socks5://us:hidd%C3%A9n@p.example:1", "SOCKS"),
        ("socks5://us@p.example:1", "SOCKS"),
        ("socks5://us:" + "hidden" * 50 + "@p.example:1", "SOCKS"),
        (5, "str"),
    ],
)
def test_proxies_that_cannot_be(url: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        request(proxy=url)
    assert "hidd" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"client_max_window_bits": 8},
        {"client_max_window_bits": 16},
        {"server_max_window_bits": 7},
        {"level": 0},
        {"level": 10},
        {"min_size": -1},
    ],
)
def test_compression_that_cannot_be(settings: dict[str, Any]) -> None:
    assert Deflate(client_max_window_bits=9, server_max_window_bits=8, level=9, min_size=0).level == 9
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Deflate(**settings)


def test_application_pings() -> None:
    text = AppPing(message='{"op":"ping"}', interval_s=20, reply='"pong"')
    assert (text.data, text.is_text, text.reply_data) == (b'{"op":"ping"}', True, b'"pong"')
    binary = AppPing(message=b"\x01", interval_s=0.1)
    assert (binary.data, binary.is_text, binary.reply_data) == (b"\x01", False, b"")
    template = OrderTemplate('{"id":${id}}', slots={"id": Slot("uint")})
    timed = AppPing(message=template, interval_s=5)
    assert (timed.data, timed.is_text) == (None, True)
    assert request(app_ping=timed).app_ping is timed


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"message": ""}, "length of the message"),
        ({"message": "x" * 4097}, "length of the message"),
        ({"message": 5}, "OrderTemplate"),
        ({"message": "x", "interval_s": 0.05}, "interval_s"),
        ({"message": "x", "reply": ""}, "length of the reply"),
        ({"message": "x", "reply": "x" * 513}, "length of the reply"),
        ({"message": "x", "reply": 5}, "reply"),
    ],
)
def test_application_pings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AppPing(**{"interval_s": 5, **settings})


# ---- redirects ----


def follow(sent: Request, location: str | None, status: int = 301) -> Request | None:
    return sent.redirected(sent.endpoints[0], status, location)


def test_redirects_are_followed_only_if_asked_for() -> None:
    assert follow(request(), "wss://other.example/") is None
    sent = request(max_redirects=2)
    assert follow(sent, None) is None
    assert follow(sent, "/x", status=200) is None
    assert follow(sent, "/x", status=300) is None
    first = follow(sent, "/x?y#z")
    assert first is not None
    assert first.endpoints[0].url == "wss://exchange.example/x?y"
    second = follow(first, "https://other.example:444/z", status=308)
    assert second is not None
    assert second.endpoints[0].url == "wss://other.example:444/z"
    assert follow(second, "/again") is None


def test_a_redirect_never_leaves_tls_and_takes_no_credentials_along() -> None:
    headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-MBX-APIKEY": "k", "Origin": "https://kept.example"}
    sent = request(max_redirects=5, headers=headers, connect_to="10.0.0.1")
    for location in ("http://exchange.example/", "ws://exchange.example/", "ws+unix:///run/s", "ftp://x/", "wss://"):
        with pytest.raises(RemoteProtocolError, match="redirected"):
            follow(sent, location)
    same = follow(sent, "other")
    assert same is not None
    assert dict(same.headers) == headers
    assert same.connect_to is not None
    other = follow(sent, "//exchange.example:8443/ws")
    assert other is not None
    assert dict(other.headers) == {"Origin": "https://kept.example"}
    assert other.connect_to is None
    named = request("ws://u:p@h.example/a", max_redirects=1)
    stays, leaves = follow(named, "b"), follow(named, "wss://h.example/b")
    assert stays is not None
    assert leaves is not None
    assert b"Authorization" in stays.header_lines(stays.endpoints[0])
    assert b"Authorization" not in leaves.header_lines(leaves.endpoints[0])
