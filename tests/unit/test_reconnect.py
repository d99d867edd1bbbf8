"""The policy of connecting again, driven by a clock and a generator of numbers of our own."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from hftcore.errors import ConfigError, ConnectionLost, HftError, LimitExceeded, RemoteProtocolError, TLSError
from hftcore.reconnect import Attempt, Reconnect, Schedule, is_transient

LOST = ConnectionLost("gone")


def steady(n: int = 1, **policy: Any) -> Schedule:
    """A schedule without jitter."""
    return Schedule(Reconnect(jitter=0.0, **policy), n)


def delays(schedule: Schedule, count: int) -> list[float]:
    attempts = [schedule.failed(LOST) for _ in range(count)]
    return [round(attempt.delay_s, 9) for attempt in attempts if attempt is not None]


def test_the_first_attempt_is_made_at_once() -> None:
    assert steady().begin() == Attempt(0.0, (0,))


def test_delays_grow_up_to_the_greatest() -> None:
    assert delays(steady(initial_s=0.5, factor=2.0, max_s=3.0), 5) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert delays(steady(initial_s=0.5, factor=1.0), 3) == [0.5, 0.5, 0.5]


def test_a_month_of_failures_does_not_overflow() -> None:
    schedule = steady(initial_s=0.001, factor=100.0, max_s=60.0)
    assert delays(schedule, 3000)[-1] == 60.0


def test_jitter_takes_off_no_more_than_its_share() -> None:
    schedule = Schedule(Reconnect(initial_s=1.0, factor=1.0, jitter=0.5), rng=random.Random(7))
    seen = delays(schedule, 500)
    assert 0.5 <= min(seen) < 0.51
    assert 0.99 < max(seen) <= 1.0
    again = Schedule(Reconnect(initial_s=1.0, factor=1.0, jitter=0.5), rng=random.Random(7))
    assert delays(again, 500) == seen
    other = Schedule(Reconnect(initial_s=1.0, factor=1.0, jitter=0.5))
    assert delays(other, 500) != seen


def test_endpoints_take_turns_and_only_a_round_is_followed_by_a_delay() -> None:
    schedule = steady(3, initial_s=1.0, max_s=100.0)
    attempts = [schedule.begin(), *(schedule.failed(LOST) for _ in range(6))]
    assert attempts == [
        Attempt(0.0, (0,)), Attempt(0.0, (1,)), Attempt(0.0, (2,)),
        Attempt(1.0, (0,)), Attempt(0.0, (1,)), Attempt(0.0, (2,)),
        Attempt(2.0, (0,)),
    ]  # fmt: skip


def test_a_race_dials_all_and_waits_after_each() -> None:
    schedule = steady(3, race=True, initial_s=1.0)
    assert schedule.begin() == Attempt(0.0, (0, 1, 2))
    assert schedule.failed(LOST) == Attempt(1.0, (1, 2, 0))
    assert schedule.failed(LOST) == Attempt(2.0, (2, 0, 1))


def test_it_stays_with_the_endpoint_that_worked() -> None:
    schedule = steady(3, stable_s=10.0, initial_s=1.0)
    schedule.opened(2, 100.0)
    assert schedule.lost(LOST, 110.0) == Attempt(1.0, (2,))


def test_a_connection_that_did_not_last_counts_as_a_failure() -> None:
    schedule = steady(stable_s=10.0, initial_s=1.0)
    schedule.opened(0, 100.0)
    assert schedule.lost(LOST, 109.9) == Attempt(1.0, (0,))
    schedule.opened(0, 111.0)
    assert schedule.lost(LOST, 111.1) == Attempt(2.0, (0,))
    schedule.opened(0, 200.0)
    assert schedule.lost(None, 210.0) == Attempt(1.0, (0,))  # it lasted: the count begins anew
    elsewhere = steady(2, stable_s=10.0)
    elsewhere.opened(0, 0.0)
    assert elsewhere.lost(LOST, 1.0) == Attempt(0.0, (1,))


def test_attempts_come_to_an_end() -> None:
    schedule = steady(attempts=3)
    assert schedule.failed(LOST) is not None
    assert schedule.failed(LOST) is not None
    assert schedule.failed(LOST) is None
    lasting = steady(attempts=2, stable_s=1.0)
    for hour in range(5):
        lasting.opened(0, hour * 3600.0)
        assert lasting.lost(LOST, hour * 3600.0 + 60.0) is not None


def test_a_lasting_error_is_final() -> None:
    assert steady().failed(ConfigError("wrong")) is None
    schedule = steady()
    schedule.opened(0, 0.0)
    assert schedule.lost(LimitExceeded("too long"), 99.0) is None
    stubborn = steady(retry_if=lambda error: True)
    assert stubborn.failed(ConfigError("wrong")) is not None


def test_the_time_to_replace_is_that_of_the_newest() -> None:
    schedule = steady(max_age_s=3600.0)
    assert schedule.replace_at_s is None
    schedule.opened(0, 100.0)
    assert schedule.replace_at_s == 3700.0
    assert schedule.begin() == Attempt(0.0, (0,))  # a successor
    assert schedule.failed(LOST) is not None
    assert schedule.replace_at_s == 3700.0  # the old one is still there
    schedule.opened(0, 3701.0)
    assert schedule.replace_at_s == 7301.0
    schedule.lost(LOST, 3702.0)
    assert schedule.replace_at_s is None
    forever = steady()
    forever.opened(0, 0.0)
    assert forever.replace_at_s is None


class Refused(RemoteProtocolError):
    def __init__(self, status: int) -> None:
        super().__init__("refused")
        self.status = status


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionLost("gone"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (RemoteProtocolError("bad frame"), True),
        (TLSError("cut", name="HFT_E_TLS_TRUNCATED"), True),
        (TLSError("alert", name="HFT_E_TLS_PROTOCOL"), True),
        (TLSError("expired", name="HFT_E_TLS_EXPIRED"), False),
        (TLSError("other host", name="HFT_E_TLS_HOSTNAME"), False),
        (PermissionError(), False),
        (ConfigError("wrong"), False),
        (LimitExceeded("too long"), False),
        (HftError("state"), False),
        (RuntimeError("bug"), False),
        (Refused(503), True),
        (Refused(429), True),
        (Refused(401), False),
        (Refused(301), False),
    ],
)
def test_which_errors_another_attempt_may_mend(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    "policy",
    [
        {"initial_s": 0.0},
        {"initial_s": 2.0, "max_s": 1.0},
        {"max_s": math.inf},
        {"factor": 0.5},
        {"factor": math.nan},
        {"jitter": 1.1},
        {"jitter": "0.5"},
        {"attempts": 0},
        {"attempts": 1.5},
        {"stable_s": -1.0},
        {"max_age_s": 0.0},
        {"overlap_s": -0.1},
        {"overlap_s": True},
        {"retry_if": "always"},
    ],
)
def test_a_policy_that_cannot_be(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(policy)) if len(policy) == 1 else "max_s"):
        Reconnect(**policy)


def test_no_endpoint_no_schedule() -> None:
    with pytest.raises(ConfigError):
        Schedule(Reconnect(), 0)
