"""hftcore: Bitcoin's network in, signed orders out, in microseconds.

The parts can be used by themselves: hashes and HMAC (``crypto``), order templates (``orders``), WebSocket frames
(``ws``), Bitcoin messages, transactions and addresses (``bitcoin``), exchanges as data (``venues``); or together, as an
``Engine``.
"""

import liburing as _liburing  # noqa: F401  loads the C library that the reactor's extension links against

from hftcore import bitcoin, venues, ws
from hftcore.crypto import HmacSha256, sha256, sha256d
from hftcore.engine import Engine
from hftcore.errors import (
    ConfigError,
    ConnectionLost,
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
from hftcore.settings import EngineLimits, RiskLimits, Rule
from hftcore.watch import WatchTable

__all__ = [
    "ConfigError",
    "ConnectionLost",
    "Engine",
    "EngineLimits",
    "HftError",
    "HmacSha256",
    "LimitExceeded",
    "LocalProtocolError",
    "OrderTemplate",
    "ProtocolError",
    "RemoteProtocolError",
    "RiskLimits",
    "Rule",
    "TLSError",
    "VenueError",
    "WatchTable",
    "bitcoin",
    "build_info",
    "probe",
    "sha256",
    "sha256d",
    "venues",
    "ws",
]

__version__ = "0.1.0"
