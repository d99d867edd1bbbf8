"""`./dev fuzz`: each target for a time, or a number of mutations, from where the last run ended.

As many processes as there are cores share the work. What reaches new code is kept in build/fuzz.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

import buildconf
from tests.fuzz import seeds, workers

KEPT = buildconf.ROOT / "build" / "fuzz"
PLAIN_EVERY_S = 60  # how often to say how far it is where a line cannot be written again


class Display:
    """A line for the target that is running: written again each second, or, not on a terminal, now and then anew."""

    def __init__(self, console: Console, name: str, plan: workers.Plan) -> None:
        self.console, self.name, self.plan = console, name, plan
        self.live = Live(console=console, transient=True, auto_refresh=False)
        self.written = time.monotonic()

    def show(self, outcome: workers.Outcome) -> None:
        counts = f"{outcome.mutations:,} mutations, {outcome.speed}, {outcome.kept} inputs kept"
        line = f"{self.name:<12} {counts}{self.left(outcome)}"
        if self.console.is_terminal:
            self.live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        elif time.monotonic() - self.written > PLAIN_EVERY_S:
            self.written = time.monotonic()
            print(line, flush=True)

    def left(self, outcome: workers.Outcome) -> str:
        seconds: float = self.plan.seconds - outcome.seconds
        if self.plan.runs is not None:
            if outcome.mutations == 0:
                return ""
            seconds = outcome.seconds * (self.plan.runs / outcome.mutations - 1)
        return f", {seconds / 60:,.0f} min left" if seconds >= 90 else f", {max(seconds, 0):.0f} s left"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="targets without their fuzz_ (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target (default: 60)")
    parser.add_argument("--runs", type=int, help="mutations of each target, however long they take")
    parser.add_argument("--seed", type=int, default=1, help="another number gives other mutations (default: 1)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--jobs", type=int, default=cores, metavar="N",
        help="processes that share a target's mutations, with the seeds SEED, SEED + 1... (default: one for each core)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    known = [path.stem.removeprefix("fuzz_") for path in seeds.targets()]
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"no target named {', '.join(unknown)}; there are {', '.join(known)}")
    options.names = options.names or known
    return options


def main() -> int:
    options = parse()
    plan = workers.Plan(options.runs, options.seconds, options.seed, options.jobs)
    console = Console()
    targets = {path.stem.removeprefix("fuzz_"): path for path in seeds.targets()}
    failures = 0
    for name in options.names:
        display = Display(console, name, plan)
        with display.live:
            outcome = workers.fuzz(targets[name], KEPT / name, plan, display.show)
        print(f"{name:<12} {outcome}", flush=True)
        for failure in outcome.failures:
            print(f"{name:<12} FAILED\n{failure}\nonce it is mended, keep the input in tests/fuzz/corpus/{name}/")
        failures += bool(outcome.failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
