"""`./dev soak`: random faults for an hour, each face on each backend, in one table; status 1 if one is a problem."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.faults.workers import FACES, PEERS, Worker


def table_of(workers: list[Worker], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    left = {"client", "backend"}
    for heading in ("client", "backend", "sessions", "faults", "messages", "longest s", "grown MiB", "problems"):
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    for worker in workers:
        told = worker.latest
        problems = told.get("problem_count", 0)
        table.add_row(
            worker.face, worker.backend, *(f"{told.get(name, 0):,}" for name in ("sessions", "faults", "messages")),
            f"{told.get('longest_s', 0):.1f}", f"{told['grown'] / 2**20:.1f}" if "grown" in told else "",
            f"[bold red]{problems}[/]" if problems else "0",
        )  # fmt: skip
    return table


def title_of(began: float, seconds: float, seed: int) -> str:
    passed = min(time.monotonic() - began, seconds)
    return f"Faults, seed {seed}, {passed / 60:.1f} of {seconds / 60:.1f} minutes"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("faces", nargs="*", metavar="FACE", help=f"of {', '.join(FACES + PEERS)} (default: our three)")
    parser.add_argument("--minutes", type=float, default=60, help="for all of it (default: 60)")
    parser.add_argument("--backend", action="append", choices=["io_uring", "epoll"], help="default: both")
    parser.add_argument("--seed", type=int, help="of the first session; default: a random one, which is printed")
    options = parser.parse_args()
    options.faces = options.faces or list(FACES)
    if wrong := sorted(set(options.faces) - set(FACES + PEERS)):
        parser.error(f"no client named {', '.join(wrong)}; there are {', '.join(FACES + PEERS)}")
    if options.seed is None:
        options.seed = secrets.randbelow(1 << 40)
    return options


def main() -> int:
    options = parse()
    console = Console()
    combinations = [(face, backend) for face in options.faces for backend in options.backend or ("io_uring", "epoll")]
    # As many at a time as there are cores; they mostly wait.
    at_once = min(len(combinations), max(2, os.cpu_count() or 1))
    rounds = [combinations[i : i + at_once] for i in range(0, len(combinations), at_once)]
    seconds = options.minutes * 60
    began = time.monotonic()
    workers: list[Worker] = []
    problems: list[str] = []
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        for group in rounds:
            running = [Worker(face, backend, seconds / len(rounds), options.seed) for face, backend in group]
            workers += running
            try:
                while any(worker.running for worker in running):
                    live.update(table_of(workers, title_of(began, seconds, options.seed)))
                    time.sleep(0.5)
            except BaseException:
                for worker in running:
                    worker.kill()
                raise
            for worker in running:
                problems += worker.join()
    console.print(table_of(workers, title_of(began, seconds, options.seed)))
    for problem in problems:
        console.print(problem, highlight=False, soft_wrap=True, markup=False)
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
