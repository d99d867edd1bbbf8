"""Every option of a WebSocket connection, checked in one place.

The faces (``reactor``, ``aio``, ``blocking``) take the same keyword arguments, those of ``Options``; ``Request.parse``
makes of them what the connector and the C core need, text encoded once.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import unquote, urljoin, urlsplit

from hftcore.endpoints import Endpoint, parse_endpoint, parse_websocket_url, shown_url
from hftcore.errors import ConfigError, HandshakeError, RemoteProtocolError
from hftcore.orders import OrderTemplate
from hftcore.reconnect import Reconnect, check_number
from hftcore.tls import TLSContext

__all__ = ["AppPing", "Deflate", "Options", "Proxy", "Request"]

ENDPOINTS_MAX = 16
HEADERS_MAX = 6144  # bytes; the upgrade request has room for 8192 with target and host
TARGET_MAX = 1536
SUBPROTOCOLS_MAX = 256
APP_PING_MAX = 4096
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_RESERVED = frozenset({"host", "upgrade", "connection", "content-length", "transfer-encoding"})
_HARMLESS = frozenset({"user-agent", "origin", "accept-language"})  # all others may hold a key: exchanges name theirs
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Least and greatest of every option that is a number; docs/reference/limits.md tells them.
RANGES: dict[str, tuple[float, float]] = {
    "connect_timeout_s": (0.001, 3600),
    "close_timeout_s": (0.001, 3600),
    "ping_interval_s": (0, 86400),
    "ping_timeout_s": (0, 86400),
    "max_message": (125, 1 << 30),
    "send_queue": (4096, 1 << 30),
    "recv_queue": (16384, 1 << 30),
    "max_redirects": (0, 20),
    "recv_buffer": (0, 1 << 30),
    "send_buffer": (0, 1 << 30),
    "user_timeout_ms": (0, 86_400_000),
    "busy_poll_us": (0, 1_000_000),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Deflate:
    """permessage-deflate as it is offered (RFC 7692 section 7).

    client_no_context_takeover, server_no_context_takeover: each message is compressed by itself; less memory, larger
    messages.
    client_max_window_bits: the largest window we use, 9 to 15; the server may ask for a smaller one. None: not offered.
    server_max_window_bits: the largest window the server may use, 8 to 15; None: its own choice.
    level: zlib's, 1 (fast) to 9, of what we send.
    min_size: messages of fewer bytes are sent as they are.
    """

    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False
    client_max_window_bits: int | None = 15
    server_max_window_bits: int | None = None
    level: int = 1
    min_size: int = 64

    def __post_init__(self) -> None:
        if self.client_max_window_bits is not None:
            check_number("client_max_window_bits", self.client_max_window_bits, 9, 15, whole=True)
        if self.server_max_window_bits is not None:
            check_number("server_max_window_bits", self.server_max_window_bits, 8, 15, whole=True)
        check_number("level", self.level, 1, 9, whole=True)
        check_number("min_size", self.min_size, 0, 1 << 30, whole=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class AppPing:
    """A ping of the application, as data: exchanges want their own, and answer it in their own way.

    message: sent as text if a str or a template, as binary if bytes; a template's timestamp slots take the time and its
    uint slots count up from 1.
    interval_s: between two of them, 0.1 s to one day.
    reply: what the answer holds within its first 512 bytes; the round trip is measured up to it. Answers come in the
    order of the pings. None: not measured.
    hide: the answer is not given to the program.
    """

    message: OrderTemplate | str | bytes = field(repr=False)
    interval_s: float
    reply: str | bytes | None = None
    hide: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.message, OrderTemplate | str | bytes):
            raise ConfigError("app_ping: message: a str, bytes or an OrderTemplate expected")
        length = self.message.max_len if isinstance(self.message, OrderTemplate) else len(self.data or b"")
        check_number("app_ping: length of the message", length, 1, APP_PING_MAX, whole=True)
        check_number("app_ping: interval_s", self.interval_s, 0.1, 86400)
        if self.reply is not None:
            if not isinstance(self.reply, str | bytes):
                raise ConfigError("app_ping: reply: a str, bytes or None expected")
            check_number("app_ping: length of the reply", len(self.reply_data), 1, 512, whole=True)

    @property
    def data(self) -> bytes | None:
        """The message as bytes; None for a template."""
        if isinstance(self.message, OrderTemplate):
            return None
        return self.message.encode() if isinstance(self.message, str) else self.message

    @property
    def is_text(self) -> bool:
        """Whether it goes as a text message."""
        return not isinstance(self.message, bytes)

    @property
    def reply_data(self) -> bytes:
        """``reply`` as bytes, empty without one."""
        return self.reply.encode() if isinstance(self.reply, str) else self.reply or b""


@dataclass(frozen=True, slots=True)
class Proxy:
    """``http://[USER:PASSWORD@]HOST:PORT`` (CONNECT), or ``socks5://``, or ``socks5h://``.

    As with curl: ``socks5`` resolves the host's name here, ``socks5h`` leaves that to the proxy.
    """

    scheme: str
    host: str
    port: int
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: object) -> Self:
        """From the text of its URL; raises ConfigError."""
        if not isinstance(url, str):
            raise ConfigError(f"proxy {url!r}: the URL as a str expected")
        what = f"proxy {shown_url(url)!r}"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its text may hold the password
            raise ConfigError(f"{what}: host or port is wrong: IPv6 as [ADDRESS], / ? # in a password as %XX") from None
        if parts.scheme not in ("http", "socks5", "socks5h"):
            raise ConfigError(f"{what}: http, socks5 or socks5h expected; a proxy behind TLS is not supported")
        if not parts.hostname or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigError(f"{what}: {parts.scheme}://[USER:PASSWORD@]HOST:PORT expected")
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if ":" in username:
            raise ConfigError(f"{what}: no colon may be in the user name (RFC 7617)")
        if parts.scheme != "http" and username:
            # RFC 1929 counts either in one byte and says nothing of what is beyond ASCII.
            for name, text in (("user name", username), ("password", password)):
                if not text.isascii() or not 1 <= len(text) <= 255:
                    raise ConfigError(f"{what}: the {name} for SOCKS: 1 to 255 ASCII characters")
        return cls(parts.scheme, parts.hostname, port, username, password)


BACKENDS = {"auto": 0, "io_uring": 1, "epoll": 2}  # hft_ring_backend of hft/ring.h


def check_backend(backend: object) -> int:
    """The C core's number of a backend. Raises the ConfigError of what is none."""
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise ConfigError(f"backend {backend!r}: one of {', '.join(BACKENDS)}")
    return BACKENDS[backend]


def check_reactor(backend: object, spin_us: object) -> float:
    """``spin_us`` as a float. Raises the ConfigError of what no reactor takes."""
    check_backend(backend)
    if isinstance(spin_us, bool) or not isinstance(spin_us, int | float) or not spin_us >= 0:
        raise ConfigError(f"spin_us {spin_us!r}: a number from 0 on, or inf")
    return float(spin_us)


class Options(TypedDict, total=False):
    """The keyword arguments of every ``connect``; ``Request`` says what they mean."""

    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    subprotocols: Sequence[str]
    compression: Deflate | None
    tls: Any
    proxy: str | None
    connect_to: str | None
    local_address: str | None
    connect_timeout_s: float
    close_timeout_s: float
    ping_interval_s: float
    ping_timeout_s: float
    app_ping: AppPing | None
    max_message: int
    send_queue: int
    recv_queue: int
    max_redirects: int
    nodelay: bool
    quickack: bool
    recv_buffer: int
    send_buffer: int
    user_timeout_ms: int
    busy_poll_us: int
    socket_options: Iterable[tuple[int, int, int | bytes]]
    kernel_timestamps: bool
    reconnect: Reconnect | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a connection is to be; made by ``parse``. Every error in it is a ConfigError that names the option.

    endpoints: one or, with ``reconnect``, several URLs, taken apart.
    headers: further lines of the upgrade request; ``User-Agent: hftcore`` is added if there is none.
    subprotocols: offered, in order of preference.
    compression: what is offered, None = nothing.
    tls: the TLSContext of wss endpoints, None = the system's authorities.
    proxy: None or its URL, see Proxy; not for Unix sockets.
    connect_to: HOST[:PORT] dialled instead of the URL's: one address of an exchange, say, still checked by its name.
    local_address: ADDRESS[:PORT] that the socket is bound to.
    connect_timeout_s: for all of it: names, proxy, TCP, TLS, upgrade, redirects.
    close_timeout_s: how long the other side has to answer a close frame.
    ping_interval_s, ping_timeout_s: a ping is sent so long after the one before, and the connection is lost if nothing
    answers it in time; 0 = never.
    app_ping: a ping of the application.
    max_message: longest message received, decompressed, in bytes; a longer one ends the connection (close code 1009).
    send_queue: bytes that wait to be sent; what finds no room is refused or waited for.
    recv_queue: bytes received that wait to be taken; beyond it TCP holds up the sender.
    max_redirects: of the upgrade request that are followed (RFC 9110 section 15.4), never from wss to ws; by default
    none is.
    nodelay, quickack, recv_buffer, send_buffer, user_timeout_ms, busy_poll_us: TCP_NODELAY, TCP_QUICKACK, SO_RCVBUF,
    SO_SNDBUF, TCP_USER_TIMEOUT, SO_BUSY_POLL; 0 = the system's.
    socket_options: (level, name, value) of any other, set before connecting.
    kernel_timestamps: messages carry the kernel's receive time.
    reconnect: the policy; None = a lost connection stays lost.
    """

    endpoints: tuple[Endpoint, ...]
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subprotocols: tuple[str, ...] = ()
    compression: Deflate | None = None
    tls: Any = None
    proxy: Proxy | None = None
    connect_to: tuple[str, int | None] | None = None
    local_address: tuple[str, int] | None = None
    connect_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    app_ping: AppPing | None = None
    max_message: int = 16_777_216
    send_queue: int = 1_048_576
    recv_queue: int = 262_144
    max_redirects: int = 0
    nodelay: bool = True
    quickack: bool = False
    recv_buffer: int = 0
    send_buffer: int = 0
    user_timeout_ms: int = 0
    busy_poll_us: int = 0
    socket_options: tuple[tuple[int, int, int | bytes], ...] = ()
    kernel_timestamps: bool = False
    reconnect: Reconnect | None = None

    @classmethod
    def parse(cls, url: str | Sequence[str], **options: Unpack[Options]) -> Self:
        """Checks a URL, or several, and the keyword arguments given to a ``connect``. Raises ConfigError."""
        given: dict[str, Any] = dict(options)
        unknown = given.keys() - Options.__annotations__.keys()
        if unknown:
            raise ConfigError(
                f"unknown option {', '.join(sorted(unknown))}; there are {', '.join(Options.__annotations__)}"
            )
        given["headers"] = _headers(given.get("headers", ()))
        given["subprotocols"] = _subprotocols(given.get("subprotocols", ()))
        given["socket_options"] = _socket_options(given.get("socket_options", ()))
        if given.get("proxy") is not None:
            given["proxy"] = Proxy.parse(given["proxy"])
        if given.get("connect_to") is not None:
            given["connect_to"] = _host_port("connect_to", given["connect_to"])
        if given.get("local_address") is not None:
            given["local_address"] = _local(given["local_address"])
        return cls(endpoints=_endpoints(url), **given)

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            check_number(name, getattr(self, name), low, high, whole=not name.endswith("_s"))
        for name in ("nodelay", "quickack", "kernel_timestamps"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} {getattr(self, name)!r}: True or False expected")
        kinds = {"compression": Deflate, "app_ping": AppPing, "reconnect": Reconnect, "tls": TLSContext}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind | None):
                raise ConfigError(f"{name}: {kind.__name__}(...) or None expected")
        self._check_together()

    def _check_together(self) -> None:
        if len(self.endpoints) > 1 and self.reconnect is None:
            raise ConfigError("several URLs need reconnect=Reconnect(...), which says how one of them is chosen")
        if self.tls is not None and not any(endpoint.tls for endpoint in self.endpoints):
            raise ConfigError(f"tls: {self.endpoints[0].origin} is not encrypted; write wss")
        if any(endpoint.unix_path for endpoint in self.endpoints):
            for name in ("proxy", "connect_to", "local_address"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"{name}: not for a Unix socket")
        if self.proxy is not None and self.connect_to is not None:
            raise ConfigError("connect_to: not with a proxy")
        for endpoint in self.endpoints:
            if endpoint.authorization and "authorization" in {name.lower() for name, _ in self.headers}:
                raise ConfigError(f"headers: Authorization, which {endpoint.origin} has in its URL")
            if len(self.header_lines(endpoint)) > HEADERS_MAX:
                raise ConfigError(f"headers: over {HEADERS_MAX} bytes")
            if len(endpoint.target) > TARGET_MAX:
                raise ConfigError(f"url {shown_url(endpoint.url)!r}: target over {TARGET_MAX} bytes")

    def header_lines(self, endpoint: Endpoint) -> bytes:
        """``Name: value\\r\\n`` lines of the upgrade request to this endpoint. SECRET where they hold credentials."""
        fields = list(self.headers)
        if "user-agent" not in {name.lower() for name, _ in fields}:
            fields.append(("User-Agent", "hftcore"))
        if endpoint.authorization:
            fields.append(("Authorization", endpoint.authorization))
        return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)

    @property
    def subprotocol_list(self) -> bytes:
        """The value of Sec-WebSocket-Protocol, empty for none."""
        return ", ".join(self.subprotocols).encode()

    def redirected_by(self, endpoint: Endpoint, error: HandshakeError) -> Self | None:
        """``redirected``, of the response that the error tells of."""
        location = next((value for name, value in error.headers if name.lower() == "location"), None)
        return self.redirected(endpoint, error.status, location)

    def redirected(self, endpoint: Endpoint, status: int, location: str | None) -> Self | None:
        """The request that follows a refused upgrade with this status and Location; None: it is no redirect to follow.

        Credentials are not taken to another origin. Raises RemoteProtocolError where the redirect leads out of TLS or
        nowhere.
        """
        if status not in _REDIRECTS or not location or self.max_redirects == 0:
            return None
        try:
            target = _redirect_target(endpoint, location)
        except ValueError as error:  # ConfigError is one
            raise RemoteProtocolError(f"{endpoint.origin}: redirected to where nothing can be: {error}") from None
        if endpoint.tls and not target.tls:
            raise RemoteProtocolError(f"{endpoint.origin}: redirected to {target.origin}, which is not encrypted")
        if target.unix_path or endpoint.unix_path:
            raise RemoteProtocolError(f"{endpoint.origin}: redirected to {target.origin}: not from or to a Unix socket")
        changes: dict[str, Any] = {"endpoints": (target,), "max_redirects": self.max_redirects - 1}
        if target.origin != endpoint.origin:
            changes["headers"] = tuple(pair for pair in self.headers if pair[0].lower() in _HARMLESS)
            changes["connect_to"] = None
        elif endpoint.authorization and not target.authorization:
            changes["endpoints"] = (replace(target, authorization=endpoint.authorization),)
        if not target.tls:
            changes["tls"] = None
        return replace(self, reconnect=None, **changes)


def _redirect_target(endpoint: Endpoint, location: str) -> Endpoint:
    url = urljoin("http" + endpoint.url[2:], location) if not endpoint.unix_path else location
    scheme, _, rest = url.partition(":")
    target = parse_websocket_url(
        {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme) + ":" + rest.partition("#")[0]
    )
    if len(target.target) > TARGET_MAX:
        raise ConfigError(f"target over {TARGET_MAX} bytes")
    return target


def _endpoints(url: object) -> tuple[Endpoint, ...]:
    urls = (url,) if isinstance(url, str) else tuple(url) if isinstance(url, Sequence) else ()
    if not 1 <= len(urls) <= ENDPOINTS_MAX or not all(isinstance(one, str) for one in urls):
        raise ConfigError(f"url: a str, or a sequence of 1 to {ENDPOINTS_MAX}, expected")
    endpoints = tuple(map(parse_websocket_url, urls))
    if len(set(endpoints)) != len(endpoints):
        raise ConfigError("url: one of them is there twice")
    return endpoints


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    try:
        pairs = tuple((name, value) for name, value in (given.items() if isinstance(given, Mapping) else given))
    except (TypeError, ValueError):
        raise ConfigError("headers: a mapping, or pairs of name and value, expected") from None
    for name, value in pairs:
        if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
            raise ConfigError(f"headers: {name!r} is no name of a header")
        if name.lower() in _RESERVED or name.lower().startswith("sec-websocket-"):
            raise ConfigError(f"headers: {name} belongs to the upgrade itself")
        # Not the value itself: it may be secret.
        if (
            not isinstance(value, str)
            or re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value) is None
            or value != value.strip()
        ):
            raise ConfigError(f"headers: {name}: visible Latin-1 text, without blanks at its ends, expected")
    return pairs


def _subprotocols(given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigError("subprotocols: a sequence of them expected, not one str")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
            raise ConfigError(f"subprotocols: {name!r} is no token (RFC 6455 section 4.1)")
    if len(set(names)) != len(names):
        raise ConfigError("subprotocols: one of them is there twice")
    if len(", ".join(names)) > SUBPROTOCOLS_MAX:
        raise ConfigError(f"subprotocols: over {SUBPROTOCOLS_MAX} bytes")
    return names


def _socket_options(given: Any) -> tuple[tuple[int, int, int | bytes], ...]:
    options = tuple(given)
    for option in options:
        good = isinstance(option, tuple) and len(option) == 3
        if not good or not all(isinstance(v, k) for v, k in zip(option, (int, int, int | bytes), strict=True)):
            raise ConfigError(f"socket_options: {option!r}: (level, name, int or bytes) expected")
    return options


def _host_port(name: str, given: Any) -> tuple[str, int | None]:
    try:
        return parse_endpoint(given)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} {given!r}: HOST[:PORT], IPv6 as [ADDRESS]:PORT, expected") from None


def _local(given: Any) -> tuple[str, int]:
    text = given
    if isinstance(text, str) and text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    host, port = _host_port("local_address", text)
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        raise ConfigError(f"local_address {given!r}: an IP address of this machine expected, not a name") from None
    return host, port or 0
