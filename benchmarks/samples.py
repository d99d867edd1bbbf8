"""Samples, what is reported of them, and the pieces every benchmark shares."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import targets

Progress = Callable[[float], None]  # the share done, 0 to 1


def read(path: Path) -> array[int]:
    """Samples in ns as a C program wrote them."""
    samples = array("Q")
    samples.frombytes(path.read_bytes())
    return samples


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least sample that at least `share` of all do not exceed (nearest rank)."""
    if not ordered:
        raise ValueError("no samples")
    return ordered[max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1)]


def cores() -> tuple[int, int]:
    """Two cores to pin to, the second for whoever drives; the same one twice where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@dataclass
class Side:
    """One measured thing: its name and its samples in ns."""

    name: str
    samples: list[float] = field(default_factory=list)

    def add(self, samples: Iterable[float]) -> None:
        self.samples.extend(samples)

    def summary(self) -> dict[str, float]:
        ordered = sorted(self.samples)
        shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
        return {name: round(percentile(ordered, share), 1) for name, share in shares.items()}


@dataclass
class Comparison:
    """Ours beside one peer, measured in the same run."""

    name: str
    ours: Side
    peer: Side
    unit: str = "ns"  # or "B", bytes

    @property
    def target(self) -> float | None:
        """The ratio aimed at; None: none was set."""
        return targets.RATIOS.get(self.name, {}).get(self.peer.name)

    def record(self) -> dict[str, object]:
        ours, peer = self.ours.summary(), self.peer.summary()
        ratio = round(ours["p50"] / peer["p50"], 4)
        return {
            "name": self.name,
            "unit": self.unit,
            **ours,
            "peer": self.peer.name,
            "peer_p50": peer["p50"],
            "peer_p999": peer["p999"],
            "ratio": ratio,
        }


@dataclass
class Outcome:
    """What a benchmark found: its comparisons, tables of detail to print (title, columns, rows), and what to add."""

    comparisons: list[Comparison]
    details: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def one_by_one(run: Callable[[str, bool, Progress], Outcome]) -> Callable[..., dict[str, Outcome]]:
    """Makes of what runs one benchmark what is asked to run some, as report.py does."""

    @functools.wraps(run)
    def run_all(names: Sequence[str], quick: bool, progress: Progress) -> dict[str, Outcome]:
        return {name: run(name, quick, progress) for name in names}

    return run_all
