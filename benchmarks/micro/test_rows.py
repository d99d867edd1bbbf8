"""Each way of each row, checked and timed. `./dev bench` runs it in short turns, so that noise meets all of them."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.rows import ROWS, Row


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rows = [ROWS[name] for name in metafunc.config.getoption("row") or ROWS]
    turns = range(metafunc.config.getoption("turns"))
    metafunc.parametrize(
        ("row", "way"),
        [pytest.param(row, way, id=f"{row.name}: {way}") for row in rows for _ in turns for way in row.ways],
    )


def test_row(benchmark: BenchmarkFixture, pytestconfig: pytest.Config, row: Row, way: str) -> None:
    row.check(row.result(way))
    benchmark.group = f"{row.name}, {row.calls} calls"
    benchmark.extra_info = {"row": row.name, "way": way}
    rounds = pytestconfig.getoption("rounds")
    benchmark.pedantic(row.loop(way), iterations=row.iterations[way], rounds=rounds, warmup_rounds=1)
