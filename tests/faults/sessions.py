"""Sessions one after the other, what came of each, and whether that is right."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from hftcore.errors import ConnectionLost, HftError, RemoteProtocolError, TLSError
from tests.faults.plan import Plan, make
from tests.faults.proxy import FarSide, Link

AT_ONCE = 12
STEP_S = 20.0  # a client that gets nothing for so long, and should, hangs
GIVE_UP_S = 0.7  # a client that may have nothing to wait for goes on so long after the last message
# How long a client waits where the network is dead, and where it is only slow.
IMPATIENT = {"connect_timeout_s": 2.0, "ping_interval_s": 0.2, "ping_timeout_s": 0.6, "close_timeout_s": 0.5}
PATIENT = {"connect_timeout_s": STEP_S, "ping_interval_s": 0.05, "ping_timeout_s": STEP_S, "close_timeout_s": STEP_S}


@dataclass
class Session:
    """One connection to be made to url, its messages to be sent; filled by a face's driver.

    error: what the client raised or was told. gave_up: it waited for messages, and none came.
    """

    plan: Plan
    link: Link
    url: str
    started: float = field(default_factory=time.monotonic)
    received: list[str | bytes] = field(default_factory=list)
    error: BaseException | None = None
    gave_up: bool = False

    @property
    def times(self) -> dict[str, float]:
        """The client's time-outs."""
        return IMPATIENT if self.plan.silent else PATIENT

    @property
    def wait_s(self) -> float:
        """For so long the driver waits for the next message."""
        return GIVE_UP_S if self.plan.garbled else STEP_S

    @property
    def complete(self) -> bool:
        return len(self.received) >= len(self.plan.messages)

    def problem(self) -> str:
        """What is wrong with how this session ended; nothing if nothing is."""
        plan, error = self.plan, self.error
        rules = {
            "a message was received that was not sent, or out of order":
                not plan.garbled and self.received != plan.messages[: len(self.received)],
            "all bytes arrived in the end, and yet not all was received":
                plan.kind == "slow" and (error is not None or not self.complete),
            f"hung: nothing came for {self.wait_s} s, and no error": self.gave_up and not plan.garbled,
            "no error, though messages are missing": error is None and not self.gave_up and not self.complete,
            "an error without a fault": error is not None and not self.link.reached,
            "the wrong exception": error is not None and not isinstance(error, self._allowed()),
        }  # fmt: skip
        return next((what for what, broken in rules.items() if broken), "")

    def _allowed(self) -> tuple[type[HftError], ...]:
        """What may be raised here. Where the peer noticed the fault, all that we see is that it went away."""
        plan = self.plan
        if plan.kind == "flip" or (plan.kind != "stall" and plan.secure):
            # A record that was cut or changed is TLS's to tell; plain, it is the protocol's.
            return (ConnectionLost, TLSError if plan.secure else RemoteProtocolError)
        return (ConnectionLost,)


class Sessions:
    """Gives out sessions until the time is over, and judges them. Used by any number of threads."""

    def __init__(self, far_side: FarSide, seed: int, seconds: float) -> None:
        self._far_side = far_side
        self._seeds = itertools.count(seed)
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self.problems: list[str] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()  # by kind of fault, and class of error or how it ended
        self.reached = 0
        self.messages = 0
        self.open_now = 0
        self.longest_s = 0.0

    def begin(self) -> Session | None:
        """The next one; None: no more."""
        with self._lock:
            if time.monotonic() > self._deadline:
                return None
            plan = make(next(self._seeds))
            self.open_now += 1
        link, url = self._far_side.open(plan)
        return Session(plan, link, url)

    def end(self, session: Session) -> None:
        """For after the driver has let go of the connection."""
        self._far_side.close(session.link)
        problem = session.problem()
        plan, error = session.plan, session.error
        ended = "gave up" if session.gave_up else "complete" if error is None else type(error).__name__
        with self._lock:
            self.open_now -= 1
            self.reached += session.link.reached
            self.messages += len(session.received)
            self.outcomes[plan.kind, ended] += 1
            self.longest_s = max(self.longest_s, time.monotonic() - session.started)
            if problem:
                of = f"{len(session.received)} of {len(plan.messages)} messages"
                said = f"{session.link.story}; servers: {self._far_side.said(session.started)}"
                self.problems.append(f"{problem}: {error!r} after {of}; {plan}; {said}")
