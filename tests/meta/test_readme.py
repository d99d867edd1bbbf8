"""Figures in the documentation are those of the committed run, and its example is a program."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from benchmarks import readme


@pytest.mark.parametrize("path", readme.SECTIONS, ids=lambda path: str(path.relative_to(readme.ROOT)))
def test_figures_are_those_of_the_results(path: Path) -> None:
    assert readme.BEGIN + readme.SECTIONS[path]() + readme.END in path.read_text()


def test_the_results_are_complete() -> None:
    keys = {"name", "unit", "p50", "p99", "p999", "max", "peer", "peer_p50", "peer_p999", "ratio"}
    for name in (*readme.ROWS, *readme.PIECES):
        for row in json.loads((readme.RESULTS / f"{name}.json").read_text()):
            assert row.keys() == keys
            assert row["ratio"] == round(row["ratio"], 4)
            assert abs(row["ratio"] - row["p50"] / row["peer_p50"]) < 0.001


def test_the_examples_compile() -> None:
    examples = re.findall(r"```python\n(.*?)```", readme.README.read_text(), re.S)
    assert len(examples) == 2
    for code in examples:
        ast.parse(code)
