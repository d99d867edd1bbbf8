"""Where connections go: hosts with ports and WebSocket URLs as text, host names resolved."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from hftcore.errors import ConfigError

__all__ = [
    "Endpoint",
    "format_endpoint",
    "is_loopback",
    "parse_endpoint",
    "parse_url",
    "parse_websocket_url",
    "resolve",
    "shown_url",
]

ADDRESSES_MAX = 8
UNIX_PATH_MAX = 107  # sun_path without its NUL
_SCHEMES = {"ws": (False, False), "wss": (True, False), "ws+unix": (False, True), "wss+unix": (True, True)}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,253}[a-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WebSocket URL in the parts that a connection needs.

    host: in ASCII, lower case; an IPv6 address without brackets. unix_path: of the socket, then host is localhost.
    authorization: value of the header that the URL's user name and password make (RFC 7617), else empty.
    """

    tls: bool
    host: str
    port: int
    host_header: str
    target: str = field(repr=False)  # may hold a token
    unix_path: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def origin(self) -> str:
        """Scheme and where it leads, as errors name it: no target, which may hold a token."""
        scheme = "wss" if self.tls else "ws"
        return f"{scheme}+unix://{self.unix_path}" if self.unix_path else f"{scheme}://{self.host_header}"

    @property
    def url(self) -> str:
        """The URL again, without user name and password."""
        return f"{self.origin}{':' if self.unix_path else ''}{self.target}"


def is_loopback(host: str) -> bool:
    """Whether the text names this machine: localhost or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def format_endpoint(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets; empty without a host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""


def parse_endpoint(text: str) -> tuple[str, int | None]:
    """Host and port, or None, from ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT``. Raises ValueError with the remedy."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+))(?::(\d{1,5}))?", text)
    if match is None or (match[3] and not 0 < int(match[3]) < 65536):
        raise ValueError(f"{text!r}: write a peer as HOST:PORT, IPv6 as [ADDRESS]:PORT")
    return match[1] or match[2], int(match[3]) if match[3] else None


def shown_url(url: str) -> str:
    """The URL as it may be shown: user name, password and query, which may hold a token, left out.

    Also of one that is wrong: a password may hold a slash, and the scheme may be missing.
    """
    match = re.fullmatch(r"([a-zA-Z0-9+.-]*://)?(.*)", url, re.DOTALL)
    scheme, rest = (match[1] or "", match[2]) if match is not None else ("", "")
    behind_port = re.sub(r"\A(\[[^]@]*\]|[^:/?#@\[]*):\d{1,5}(?=[/?#])", "", rest)
    if re.search(r"\A[^/?#]*@|:.*@", behind_port, re.DOTALL):
        rest = "...@" + rest.rpartition("@")[2]
    return scheme + rest.partition("?")[0].partition("#")[0]


def parse_websocket_url(url: str) -> Endpoint:
    """Takes a URL apart (RFC 6455 section 3): ``ws:``, ``wss:``, ``ws+unix:`` and ``wss+unix:``. Raises ConfigError.

    A user name and password become an Authorization header. Host names beyond ASCII are encoded (IDNA 2003, as the
    standard library has it), so are targets (RFC 3987). ``ws+unix:///run/echo.sock:/target``: the target begins behind
    the first colon of the path.
    """
    what = f"url {shown_url(url)!r}"
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ConfigError(f"{what}: it holds a blank or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold the password
        raise ConfigError(f"{what}: host or port is wrong: IPv6 as [ADDRESS], / ? # in a password as %XX") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigError(f"{what}: wss://HOST[:PORT]/PATH expected, or ws, ws+unix, wss+unix")
    if "#" in url:
        raise ConfigError(f"{what}: a WebSocket URL has no fragment; write # as %23")
    tls, unix = _SCHEMES[parts.scheme]
    path, unix_path = parts.path, ""
    if unix:
        unix_path, _, path = parts.path.partition(":")
        unix_path = unquote(unix_path)
        if parts.netloc or not 1 < len(unix_path.encode()) <= UNIX_PATH_MAX or "\0" in unix_path:
            raise ConfigError(
                f"{what}: {parts.scheme}:///PATH[:/TARGET] expected, PATH of at most {UNIX_PATH_MAX} bytes"
            )
        host = "localhost"
    else:
        host = _host(what, parts.hostname or "")
    default_port = 443 if tls else 80
    if port == 0:
        raise ConfigError(f"{what}: port: 1 to 65535")
    bracketed = f"[{host}]" if ":" in host else host
    target = quote((path or "/") + (f"?{parts.query}" if parts.query else ""), safe="!$%&'()*+,/:;=?@[]~")
    if not target.startswith("/"):
        raise ConfigError(f"{what}: the target must begin with /")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    header = bracketed if port in (None, default_port) else f"{bracketed}:{port}"
    return Endpoint(tls, host, port or default_port, header, target, unix_path, authorization)


def _host(what: str, host: str) -> str:
    """An IP address as it is, a name in ASCII."""
    if not host:
        raise ConfigError(f"{what}: wss://HOST[:PORT]/PATH expected, and the host is missing")
    if "%" in host:
        raise ConfigError(f"{what}: host {host!r}: neither escapes nor a zone may be in it")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError as error:
            raise ConfigError(f"{what}: {error}") from None
    try:
        name = host.encode("idna").decode().lower()
    except UnicodeError as error:
        raise ConfigError(f"{what}: host name: {error}") from None
    if _HOST.fullmatch(name) is None:
        raise ConfigError(f"{what}: host name {name!r}: letters, digits, hyphens and dots expected")
    return name


def parse_url(url: str) -> Endpoint:
    """Takes a venue's wss:// URL apart; ws:// is for this machine only: orders and keys travel on it."""
    endpoint = parse_websocket_url(url)
    what = f"url {shown_url(url)!r}"
    if endpoint.unix_path:
        raise ConfigError(f"{what}: wss://HOST[:PORT]/PATH expected")
    if endpoint.authorization:
        raise ConfigError(f"{what}: no user name may be in it")
    if not endpoint.tls and not is_loopback(endpoint.host):
        raise ConfigError(f"{what}: ws:// is not encrypted and allowed to this machine only; use wss://")
    return endpoint


def resolve(host: str, port: int) -> list[tuple[int, bytes, int]]:
    """The addresses of a host as (AF_INET or AF_INET6, packed address, scope id), at most 8. Blocks. Raises OSError."""
    found: list[tuple[int, bytes, int]] = []
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if family in (socket.AF_INET, socket.AF_INET6):
            text = str(address[0]).partition("%")[0]
            scope = int(address[3]) if family == socket.AF_INET6 and len(address) == 4 else 0
            entry = (int(family), socket.inet_pton(family, text), scope)
            if entry not in found:
                found.append(entry)
    return found[:ADDRESSES_MAX]
