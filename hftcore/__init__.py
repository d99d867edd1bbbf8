"""hftcore: Bitcoin's network in, signed orders out, in microseconds.

The parts can be used by themselves: hashes and HMAC (``crypto``), order templates (``orders``), hex, base64, decimals
and times (``text``), WebSocket frames (``ws``), WebSocket connections (``Reactor`` and ``Handler``, ``aio.connect``,
``blocking.connect``), Bitcoin messages, transactions and addresses (``bitcoin``), exchanges as data (``venues``); or
together, as an ``Engine``.
"""

import liburing as _liburing  # noqa: F401  loads the C library that the reactor's extension links against

from hftcore import aio, bitcoin, blocking, text, venues, ws
from hftcore.crypto import HmacSha256, HmacSha512, merkle_root, sha256, sha256_many, sha256d, sha256d_many
from hftcore.engine import Engine
from hftcore.errors import (
    ConfigError,
    ConnectionClosed,
    ConnectionLost,
    HandshakeError,
    HftError,
    LimitExceeded,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    TLSError,
    VenueError,
)
from hftcore.orders import OrderTemplate
from hftcore.probe import build_info, probe
from hftcore.reactor import Handler, Reactor
from hftcore.reconnect import Reconnect
from hftcore.settings import EngineLimits, RiskLimits, Rule
from hftcore.tls import TLSContext
from hftcore.watch import WatchTable
from hftcore.watcher import BitcoinWatcher

__all__ = [
    "BitcoinWatcher",
    "ConfigError",
    "ConnectionClosed",
    "ConnectionLost",
    "Engine",
    "EngineLimits",
    "Handler",
    "HandshakeError",
    "HftError",
    "HmacSha256",
    "HmacSha512",
    "LimitExceeded",
    "LocalProtocolError",
    "OrderTemplate",
    "ProtocolError",
    "Reactor",
    "Reconnect",
    "RemoteProtocolError",
    "RiskLimits",
    "Rule",
    "TLSContext",
    "TLSError",
    "VenueError",
    "WatchTable",
    "aio",
    "bitcoin",
    "blocking",
    "build_info",
    "merkle_root",
    "probe",
    "sha256",
    "sha256_many",
    "sha256d",
    "sha256d_many",
    "text",
    "venues",
    "ws",
]

__version__ = "0.1.0"
