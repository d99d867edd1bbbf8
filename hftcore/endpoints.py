"""Where connections go: hosts with ports and WebSocket URLs as text, host names resolved."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from hftcore.errors import ConfigError

__all__ = ["Endpoint", "format_endpoint", "is_loopback", "parse_endpoint", "parse_url", "resolve"]

ADDRESSES_MAX = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WebSocket URL in the parts that a connection needs."""

    tls: bool
    host: str
    port: int
    host_header: str
    target: str


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


def parse_url(url: str) -> Endpoint:
    """Takes a wss:// URL apart; ws:// is for loopback only: orders and keys travel on it. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"url {url!r}: {error}") from None
    if parts.scheme not in ("wss", "ws") or not parts.hostname:
        raise ConfigError(f"url {url!r}: wss://HOST[:PORT]/PATH expected")
    if parts.username is not None or parts.fragment:
        raise ConfigError(f"url {url!r}: neither user name nor fragment may be in it")
    tls = parts.scheme == "wss"
    host = parts.hostname
    if not tls and not is_loopback(host):
        raise ConfigError(f"url {url!r}: ws:// is not encrypted and allowed to this machine only; use wss://")
    default_port = 443 if tls else 80
    bracketed = f"[{host}]" if ":" in host else host
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    header = bracketed if port in (None, default_port) else f"{bracketed}:{port}"
    return Endpoint(tls, host, port or default_port, header, target)


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
