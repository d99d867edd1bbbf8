"""Without pytest-benchmark these are no tests at all."""

from __future__ import annotations

import importlib.util
import os

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("pytest_benchmark") else ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is measured, and what."""
    group = parser.getgroup("hftcore's rows")
    group.addoption("--row", action="append", metavar="NAME", help="only this one (may be given several times)")
    group.addoption("--turns", type=int, default=1, help="how often each way of a row is measured, in turn")
    group.addoption("--rounds", type=int, default=50, help="samples of each turn")
    group.addoption("--core", type=int, help="the processor core to stay on")


def pytest_configure(config: pytest.Config) -> None:
    """Stays on the core, before anything is timed."""
    if (core := config.getoption("core")) is not None:
        os.sched_setaffinity(0, {core})


def pytest_benchmark_generate_machine_info() -> dict[str, object]:
    """Nothing: benchmarks.report describes the machine, and asking the CPU's name here takes a second."""
    return {}
