"""`python -m tests.faults.worker FACE`: plays sessions through one face, in a process that may crash or hang.

Prints one JSON object a second, and a last one with `"done": true` and what is wrong.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.sim.certificates import Authority
from tests.faults import faces, peer
from tests.faults.proxy import FarSide
from tests.faults.sessions import STEP_S, Sessions
from tests.faults.workers import FACES, PEERS

M_ARENA_MAX = -8
WARM_UP = 0.2  # of the time: what is loaded or made only once is there before anything is counted
# By how much what is held may grow without being a leak: allocators keep some of what they were given.
MAY_GROW = {"descriptors": 0, "threads": 0, "virtual": 64 << 20, "resident": 48 << 20, "objects": 2000}


@dataclass(frozen=True)
class Held:
    """What the process holds: open descriptors, threads, bytes, objects."""

    descriptors: int
    threads: int
    virtual: int
    resident: int
    objects: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        pages = Path("/proc/self/statm").read_text().split()
        page = os.sysconf("SC_PAGE_SIZE")
        return cls(
            len(os.listdir("/proc/self/fd")), threading.active_count(), int(pages[0]) * page, int(pages[1]) * page,
            len(gc.get_objects()),
        )  # fmt: skip

    def leaks(self, before: Held) -> list[str]:
        """What has grown more than it may."""
        grown = {name: getattr(self, name) - getattr(before, name) for name in MAY_GROW}
        return [f"leak: {name} grew by {grown[name]}" for name in MAY_GROW if grown[name] > MAY_GROW[name]]


def tell(sessions: Sessions, **more: Any) -> None:
    """One line for whoever started this."""
    outcomes = {f"{kind}: {ended}": count for (kind, ended), count in sessions.outcomes.items()}
    line = {
        "sessions": sum(sessions.outcomes.values()), "faults": sessions.reached, "messages": sessions.messages,
        "longest_s": round(sessions.longest_s, 3), "problems": sessions.problems[:20], "outcomes": outcomes,
        "problem_count": len(sessions.problems),
    }  # fmt: skip
    print(json.dumps(line | more), flush=True)


def play(far_side: FarSide, options: argparse.Namespace, seed: int, seconds: float, ca_file: str) -> Sessions:
    """Sessions for so long."""
    drive = peer.drive_websockets if options.face == "websockets" else faces.DRIVERS[options.face]
    sessions = Sessions(far_side, seed, seconds)
    over = threading.Event()

    def report() -> None:
        while not over.wait(1.0):
            tell(sessions)

    thread = threading.Thread(target=report)
    thread.start()
    # A face that never comes back: the stacks of all threads are printed, and the process ends.
    faulthandler.dump_traceback_later(seconds + 6 * STEP_S, exit=True)
    try:
        drive(sessions, options.backend, ca_file)
    finally:
        over.set()
        thread.join()
    return sessions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("face", choices=[*FACES, *PEERS])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # One arena: with one for each thread, the size of the address space would tell of them, not of leaks.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    authority = Authority()
    with (
        tempfile.TemporaryDirectory(prefix="hft-faults-") as directory,
        FarSide(authority.server_context()) as far_side,
    ):
        ca_file = Path(directory, "ca.pem")
        ca_file.write_bytes(authority.pem)
        first = play(far_side, options, options.seed, options.seconds * WARM_UP, str(ca_file))
        before = settled(Held.now())
        second_seed = options.seed + 1_000_000
        sessions = play(far_side, options, second_seed, options.seconds * (1 - WARM_UP), str(ca_file))
        held = settled(before)
        sessions.problems += first.problems + held.leaks(before)
        sessions.outcomes += first.outcomes
        sessions.reached += first.reached
        sessions.messages += first.messages
        sessions.longest_s = max(sessions.longest_s, first.longest_s)
        if sessions.open_now or first.open_now:
            sessions.problems.append("a session was begun and not ended")
        tell(sessions, done=True, resident=held.resident, grown=held.resident - before.resident)


def settled(wanted: Held) -> Held:
    """What is held once there are no more descriptors and threads than wanted: servers close in their own time."""
    deadline = time.monotonic() + 3.0
    while (held := Held.now()) and time.monotonic() < deadline:
        if held.descriptors <= wanted.descriptors and held.threads <= wanted.threads:
            break
        time.sleep(0.05)
    return held


if __name__ == "__main__":
    main()
