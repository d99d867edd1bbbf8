"""One fuzz target in several processes, each with mutations of its own; what they did, summed."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import buildconf
from tests import native
from tests.fuzz import seeds

REPORT = re.compile(r"\d+ seeds, (\d+) mutations in [\d.]+ s, (\d+) inputs kept\n")
SILENCE_S = 600  # a process that says nothing for so long is stuck


@dataclass(frozen=True)
class Plan:
    """What to do with each target: so many mutations, all processes taken together, or for so long."""

    runs: int | None
    seconds: int
    seed: int
    jobs: int

    def seed_of(self, job: int) -> int:
        return self.seed + job

    def share_of(self, job: int) -> list[str]:
        """What to tell process `job`, from 0 on."""
        limit = ["--seconds", str(self.seconds)]
        if self.runs is not None:
            limit = ["--iterations", str(self.runs // self.jobs + (job < self.runs % self.jobs))]
        return [*limit, "--seed", str(self.seed_of(job))]


class Worker:
    """A process; `counts` are the mutations and inputs kept that it told last."""

    def __init__(self, program: Path, arguments: list[str], crash: Path) -> None:
        self.program, self.crash = program, crash
        self.counts = (0, 0)
        self.heard = time.monotonic()
        self.stuck = False
        self.errors = ""
        self.process = subprocess.Popen(
            [str(program), *arguments, "--crash", str(crash), "--progress", "1"],
            cwd=buildconf.ROOT,
            env=os.environ | native.ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._counts, self._errors)]
        for reader in self._readers:
            reader.start()

    def _counts(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if match := REPORT.fullmatch(line):
                    self.counts = (int(match[1]), int(match[2]))
                    self.heard = time.monotonic()

    def _errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as text:
            self.errors = text.read()

    @property
    def failed(self) -> bool:
        self.stuck |= self.process.poll() is None and time.monotonic() - self.heard > SILENCE_S
        return self.stuck or self.process.returncode not in (None, 0)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def failure(self) -> str:
        """What went wrong, and how to see it again. After `end`."""
        if self.stuck:
            return f"no sign of life for {SILENCE_S} seconds"
        return f"{self.errors}\nrun it again:  {self.program} {self.crash}"


@dataclass
class Outcome:
    """What the processes of one target did until now, and what the first that failed said (mostly one)."""

    jobs: int
    seconds: float = 0.0
    seeds: int = 0
    mutations: int = 0
    kept: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def speed(self) -> str:
        return f"{self.mutations / max(self.seconds, 1e-3):,.0f}/s"

    def __str__(self) -> str:
        how = f"{self.speed}, {self.jobs} processes" if self.jobs > 1 else self.speed
        counts = f"{self.seeds} seeds, {self.mutations:,} mutations in {self.seconds:,.1f} s"
        return f"{counts} ({how}), {self.kept} inputs kept"


def fuzz(target: Path, kept: Path, plan: Plan, show: Callable[[Outcome], object] | None = None) -> Outcome:
    """Fuzzes `target` from its seeds and from what is in `kept`, where new inputs go. `show` is told every second.

    The first failure ends all processes; its input is in a file beside `kept`, named by target and seed.
    """
    program = native.build_fuzzer(target)
    given = seeds.write(target, kept)
    inputs = [*given, "--save", str(kept)]
    began = time.monotonic()
    outcome = Outcome(plan.jobs, seeds=sum(len(os.listdir(directory)) for directory in given))
    workers: list[Worker] = []
    try:
        for job in range(plan.jobs):
            crash = kept.with_name(f"{kept.name}-{plan.seed_of(job)}.crash")
            workers.append(Worker(program, [*inputs, *plan.share_of(job)], crash))
        shown = began
        while any(worker.process.poll() is None for worker in workers) and not any(w.failed for w in workers):
            time.sleep(0.05)
            if show is not None and time.monotonic() - shown > 1:
                shown = time.monotonic()
                show(add_up(outcome, workers, shown - began))
    finally:
        failed = [worker for worker in workers if worker.failed]
        for worker in workers:
            worker.end()
    outcome.failures = [worker.failure() for worker in failed]
    return add_up(outcome, workers, time.monotonic() - began)


def add_up(outcome: Outcome, workers: list[Worker], seconds: float) -> Outcome:
    outcome.seconds = seconds
    outcome.mutations = sum(worker.counts[0] for worker in workers)
    outcome.kept = sum(worker.counts[1] for worker in workers)
    return outcome
