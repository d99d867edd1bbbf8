"""The README's figures are those of the committed run, and its example is a program."""

from __future__ import annotations

import ast
import json
import re

from benchmarks import readme


def test_the_latency_table_is_that_of_the_results() -> None:
    assert readme.BEGIN + readme.table() + readme.END in readme.README.read_text()


def test_the_table_of_targets_is_that_of_the_results() -> None:
    assert readme.BEGIN + readme.pieces() + readme.END in readme.TARGETS.read_text()


def test_the_results_are_complete() -> None:
    keys = {"name", "unit", "p50", "p99", "p999", "max", "peer", "peer_p50", "ratio"}
    for name in (*readme.ROWS, *readme.PIECES):
        for row in json.loads((readme.RESULTS / f"{name}.json").read_text()):
            assert row.keys() == keys
            assert row["ratio"] == round(row["ratio"], 4)
            assert abs(row["ratio"] - row["p50"] / row["peer_p50"]) < 0.001


def test_the_example_compiles() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", readme.README.read_text(), re.S)
    ast.parse(code)
