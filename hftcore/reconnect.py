"""When to connect again, and where to.

``Reconnect`` is what a user says; ``Schedule`` applies it to one connection. It does no I/O and has no clock: whoever
drives it says what happened and when, and is told what to do next.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hftcore.errors import ConfigError, ConnectionLost, LimitExceeded, RemoteProtocolError, TLSError

__all__ = ["Attempt", "Reconnect", "Schedule", "is_transient"]

_DAY_S = 86_400.0
# What another attempt may mend: the other side was busy, or too many came at once (RFC 9110 section 15.6, RFC 6585).
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Raises the ConfigError of an option that is no number from low to high."""
    kind = int if whole else (int, float)
    if not isinstance(value, kind) or isinstance(value, bool) or not math.isfinite(value) or not low <= value <= high:
        raise ConfigError(f"{name} {value!r}: {'an int' if whole else 'a number'} from {low:g} to {high:g}")


def is_transient(error: BaseException) -> bool:
    """Whether another attempt may do better: yes for a lost, refused or slow connection and an overloaded server.

    No for what stays wrong until somebody mends it: configuration, certificates, permissions, a refused upgrade, a
    message over the limit.
    """
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status in _TRANSIENT_STATUS
    if isinstance(error, TLSError):
        return error.name in ("HFT_E_TLS_PROTOCOL", "HFT_E_TLS_TRUNCATED")
    if isinstance(error, LimitExceeded | PermissionError):
        return False
    return isinstance(error, ConnectionLost | RemoteProtocolError | OSError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnect:
    """How a connection is made again; the defaults suit an exchange.

    initial_s, factor, max_s: the delay after the first failure, and how it grows. The first attempt, and one after a
    connection that lasted ``stable_s``, begin there.
    jitter: the share of each delay that is random, 0 to 1, so that clients do not all come back at once.
    attempts: failures in a row after which the last error is raised; None = never.
    race: all endpoints are dialled at once and the first to answer is taken; otherwise one after the other, staying
    with the one that worked. Only a round of all is followed by a delay.
    max_age_s: a connection so old is replaced (many exchanges cut it after 24 hours); None = never.
    overlap_s: how long the old connection still runs once the new one is open; the new one is dialled first. 0: it goes
    at once. None: its close frame leaves before the new one is dialled.
    retry_if: which errors another attempt may mend, instead of ``is_transient``.
    """

    initial_s: float = 0.25
    max_s: float = 60.0
    factor: float = 2.0
    jitter: float = 0.5
    attempts: int | None = None
    stable_s: float = 10.0
    race: bool = False
    max_age_s: float | None = None
    overlap_s: float | None = 5.0
    retry_if: Callable[[BaseException], bool] = is_transient

    def __post_init__(self) -> None:
        check_number("initial_s", self.initial_s, 0.001, _DAY_S)
        check_number("max_s", self.max_s, self.initial_s, _DAY_S)
        check_number("factor", self.factor, 1.0, 100.0)
        check_number("jitter", self.jitter, 0.0, 1.0)
        check_number("stable_s", self.stable_s, 0.0, _DAY_S)
        if self.attempts is not None and (not isinstance(self.attempts, int) or self.attempts < 1):
            raise ConfigError(f"attempts {self.attempts!r}: an int from 1, or None")
        if self.max_age_s is not None:
            check_number("max_age_s", self.max_age_s, 0.001, 1000 * _DAY_S)
        if self.overlap_s is not None:
            check_number("overlap_s", self.overlap_s, 0.0, _DAY_S)
        if not callable(self.retry_if):
            raise ConfigError("retry_if: a function of the error expected")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to do next: wait ``delay_s``, then dial ``endpoints`` (their numbers), all at once."""

    delay_s: float
    endpoints: tuple[int, ...]


class Schedule:
    """The policy's state for one connection to one of ``n_endpoints``.

    ``begin`` says what to dial first, or for a successor; then each attempt ends with ``opened`` or ``failed``, and an
    open connection with ``lost``. Times are seconds of any clock that only runs forward. ``rng`` may be seeded.
    """

    def __init__(self, policy: Reconnect, n_endpoints: int = 1, *, rng: random.Random | None = None) -> None:
        if n_endpoints < 1:
            raise ConfigError("at least one endpoint is needed")
        self._policy = policy
        self._n = n_endpoints
        self._rng = rng or random.Random()
        self._current = 0
        self._failures = 0  # in a row, those of connections that did not last included
        self._opened_s: float | None = None

    @property
    def replace_at_s(self) -> float | None:
        """When the open connection is to be replaced; None = never, or none is open."""
        if self._opened_s is None or self._policy.max_age_s is None:
            return None
        return self._opened_s + self._policy.max_age_s

    def begin(self) -> Attempt:
        """The first attempt, at once."""
        return Attempt(0.0, self._targets())

    def opened(self, endpoint: int, now_s: float) -> None:
        """The connection to this endpoint is open. Of a successor, too: what came before no longer counts."""
        self._current = endpoint
        self._opened_s = now_s

    def failed(self, error: BaseException) -> Attempt | None:
        """An attempt failed. What to do next; None: nothing more, the error is final.

        An open connection whose successor failed stays as it is.
        """
        return self._again(error, elsewhere=True)

    def lost(self, error: BaseException | None, now_s: float) -> Attempt | None:
        """The open connection ended; error None: orderly, closed by the other side. As ``failed``."""
        lasted = self._opened_s is not None and now_s - self._opened_s >= self._policy.stable_s
        self._opened_s = None
        if lasted:
            self._failures = 0
        return self._again(error, elsewhere=not lasted)

    def _again(self, error: BaseException | None, *, elsewhere: bool) -> Attempt | None:
        if error is not None and not self._policy.retry_if(error):
            return None
        self._failures += 1
        if self._policy.attempts is not None and self._failures >= self._policy.attempts:
            return None
        if elsewhere:
            self._current = (self._current + 1) % self._n
        in_round = 1 if self._policy.race else self._n
        if elsewhere and self._failures % in_round != 0:
            return Attempt(0.0, self._targets())
        return Attempt(self._delay_s((self._failures - 1) // in_round), self._targets())

    def _delay_s(self, rounds: int) -> float:
        policy = self._policy
        # A float overflows past 1024 doublings; long before that the delay is max_s.
        growth = min(rounds * math.log(policy.factor), math.log(_DAY_S / 0.001))
        delay = min(policy.initial_s * math.exp(growth), policy.max_s)
        return delay * (1.0 - policy.jitter * self._rng.random())

    def _targets(self) -> tuple[int, ...]:
        order = tuple((self._current + i) % self._n for i in range(self._n))
        return order if self._policy.race else order[:1]
