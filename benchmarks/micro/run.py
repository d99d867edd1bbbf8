"""Runs the rows with pytest-benchmark in short turns, and makes comparisons of what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import buildconf
from benchmarks import samples
from benchmarks.micro.rows import ROWS

TURNS, QUICK_TURNS = 40, 2
ROUNDS, QUICK_ROUNDS = 20, 2


def measure(options: list[str], tests: int, progress: samples.Progress) -> None:
    """Runs pytest, and counts the dots it prints."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--benchmark-disable-gc", "--benchmark-quiet"]
    process = subprocess.Popen(
        [*command, "-p", "no:cacheprovider", *options, "benchmarks/micro"],
        cwd=buildconf.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said, done = "", 0
    assert process.stdout is not None
    while mark := process.stdout.read(1):
        said += mark
        done += mark == "."
        progress(min(1.0, done / tests))
    if process.wait() != 0:
        raise RuntimeError(f"pytest failed:\n{said}")


def outcome(name: str, turns: list[dict[str, Any]]) -> samples.Outcome:
    """The comparisons of a row, from its turns as pytest-benchmark wrote them."""
    row = ROWS[name]
    sides = {way: samples.Side(way) for way in row.ways}
    for turn in turns:
        seconds = turn["stats"]["data"]
        sides[turn["extra_info"]["way"]].add(value * 1e9 / row.calls / row.items for value in seconds)
    ours, *peers = sides.values()
    return samples.Outcome([samples.Comparison(name, ours, peer) for peer in peers])


def run(names: Sequence[str], quick: bool, progress: samples.Progress) -> dict[str, samples.Outcome]:
    """All of them in one process, one row after the other."""
    turns, rounds = (QUICK_TURNS, QUICK_ROUNDS) if quick else (TURNS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = [f"--turns={turns}", f"--rounds={rounds}", f"--core={samples.cores()[0]}"]
        options += [f"--benchmark-json={report}", *(f"--row={name}" for name in names)]
        measure(options, turns * sum(len(ROWS[name].ways) for name in names), progress)
        measured = json.loads(report.read_text())["benchmarks"]
    return {name: outcome(name, [turn for turn in measured if turn["extra_info"]["row"] == name]) for name in names}
