"""The exceptions of hftcore, and which C status raises which.

Every status is one int: negated errno values raise OSError, the library's own codes (``HFT_E_*``, at or below -10000)
raise a subclass of HftError that carries ``.code`` (the int), ``.name`` (``"HFT_E_..."``) and ``.pos`` (byte offset in
the input, or None).
"""

from __future__ import annotations


class HftError(Exception):
    """Base of all errors that hftcore itself raises."""

    def __init__(self, message: str, *, code: int = 0, name: str = "", pos: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.name = name
        self.pos = pos


class ProtocolError(HftError):
    """A protocol rule was broken."""


class LocalProtocolError(ProtocolError, ValueError):
    """The caller asked for something the protocol or a template does not allow."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something the protocol does not allow, or input data is malformed."""


class HandshakeError(RemoteProtocolError):
    """The server refused the upgrade, or answered it against the rules.

    ``status``: of its response, 0 if there was none; ``headers``: (name, value) in order; ``body``: as much as came.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        name: str = "",
        pos: int | None = None,
        status: int = 0,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(message, code=code, name=name, pos=pos)
        self.status = status
        self.headers = headers
        self.body = body


class TLSError(HftError):
    """TLS failed; the message says what was wrong with which certificate or record."""


class ConnectionLost(HftError):
    """The connection ended or did not come about: closed, silent, or too slow."""


class ConnectionClosed(ConnectionLost):
    """A WebSocket connection has ended.

    ``close_code`` and ``reason``: of the other side's close frame; 1005: it held no code; 1006: there was no such frame
    (RFC 6455 section 7.4.1). ``name`` tells why.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        name: str = "",
        pos: int | None = None,
        close_code: int = 1006,
        reason: str = "",
    ) -> None:
        super().__init__(message, code=code, name=name, pos=pos)
        self.close_code = close_code
        self.reason = reason


class LimitExceeded(HftError):
    """A configured limit was reached: queue, buffer, table, rate."""


class VenueError(HftError):
    """An exchange could not take an order, or its answer is unknown."""


class ConfigError(HftError, ValueError):
    """A configuration value or argument is wrong."""


# Class by block of 1000 (-10000, -11000, ...); EXCEPTIONS names the codes of a block that differ.
_BY_BLOCK: dict[int, type[HftError]] = {
    10: ConfigError,  # general
    11: LocalProtocolError,  # text
    12: RemoteProtocolError,  # json
    13: HandshakeError,  # http1
    14: RemoteProtocolError,  # ws
    15: LocalProtocolError,  # order
    16: RemoteProtocolError,  # btc
    17: ConfigError,  # watch
    18: LimitExceeded,  # risk
    19: LimitExceeded,  # ring
    20: TLSError,  # tls
    21: ConnectionLost,  # conn
    22: VenueError,  # engine
}

_BY_CODE: dict[int, type[HftError]] = {
    -10001: HftError,  # HFT_E_STATE
    -10002: LimitExceeded,  # HFT_E_CAPACITY
    -10003: LimitExceeded,  # HFT_E_MEMORY
    -10004: LimitExceeded,  # HFT_E_QUEUE_FULL
    -10005: ConnectionLost,  # HFT_E_TIMEOUT
    -10006: HftError,  # HFT_E_SELF_TEST
    -16014: ConfigError,  # HFT_E_BTC_ADDRESS
    -16015: ConfigError,  # HFT_E_BTC_ADDRESS_CHECKSUM
    -16016: ConfigError,  # HFT_E_BTC_ADDRESS_NETWORK
    -17000: LimitExceeded,  # HFT_E_WATCH_FULL
    -19000: ConfigError,  # HFT_E_RING_UNAVAILABLE
    -21001: LimitExceeded,  # HFT_E_CONN_RECV_FULL
    -21002: LimitExceeded,  # HFT_E_CONN_SEND_FULL
    -22001: LimitExceeded,  # HFT_E_ENGINE_EVENTS_FULL
    -22002: LimitExceeded,  # HFT_E_ENGINE_PENDING_FULL
    -22009: LimitExceeded,  # HFT_E_ENGINE_WAITING_FULL
}


def error_class(code: int) -> type[HftError]:
    """The exception class of an ``HFT_E_*`` code (any int at or below -10000)."""
    return _BY_CODE.get(code) or _BY_BLOCK.get(-code // 1000, HftError)
