"""Sizes that keep the sources readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import buildconf
from tests import tree

pytestmark = pytest.mark.lint

FILE_LINES = 800
FUNCTION_LINES = 70
COLUMNS = 120
SOURCES = tree.files(".c", ".h", ".py", ".pyx", ".pxd", ".pyi")


def lines_of(path: Path) -> list[str]:
    return (buildconf.ROOT / path).read_text().splitlines()


def test_files_are_short() -> None:
    tree.expect_none(f"{path}: {len(lines_of(path))} lines" for path in SOURCES if len(lines_of(path)) > FILE_LINES)


def test_lines_are_short_and_clean() -> None:
    wrong = [
        f"{path}:{number}"
        for path in [*SOURCES, Path("dev"), Path(".ci/run")]
        for number, line in enumerate(lines_of(path), 1)
        if len(line) > COLUMNS or line != line.rstrip() or "\t" in line
    ]
    tree.expect_none(wrong)


def function_lengths(path: Path) -> dict[str, int]:
    """C functions by name: from the line at the margin that opens one to the brace at the margin that closes it."""
    lengths: dict[str, int] = {}
    start = 0
    for number, line in enumerate(lines_of(path), 1):
        if re.match(r"[a-zA-Z_].*\(", line) and not line.rstrip().endswith(";"):
            start = number
        elif line == "}" and start:
            name = re.findall(r"(\w+)\(", lines_of(path)[start - 1])
            lengths[f"{path}:{start} {name[0]}"] = number - start + 1
            start = 0
    return lengths


def test_c_functions_are_short() -> None:
    sources = [path for path in tree.files(".c", under="hftcore") if path not in buildconf.kernel_sources()]
    lengths = {name: length for path in sources for name, length in function_lengths(path).items()}
    assert len(lengths) > 100
    tree.expect_none(f"{name}: {length} lines" for name, length in lengths.items() if length > FUNCTION_LINES)
