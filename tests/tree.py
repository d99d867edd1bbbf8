"""The project's own files, with or without git (an unpacked sdist has none)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

import buildconf

_MADE = {".git", ".venv", "build", "dist", "results", "__pycache__"}


def is_made(name: str) -> bool:
    """Whether a file or directory of this name comes from building or running, not from an author."""
    cache = name.startswith(".") and name.endswith(("_cache", "hypothesis"))
    return name in _MADE or cache or name.endswith((".so", ".egg-info", ".pyc"))


def files(*suffixes: str, under: str = ".") -> list[Path]:
    """Paths relative to the root of all files an author wrote; with suffixes, only those."""
    found = []
    for directory, names, leaves in os.walk(buildconf.ROOT / under):
        names[:] = sorted(name for name in names if not is_made(name))
        paths = (Path(directory, leaf).relative_to(buildconf.ROOT) for leaf in sorted(leaves) if not is_made(leaf))
        found += [path for path in paths if not suffixes or path.suffix in suffixes]
    return found


def expect_none(wrong: Iterable[object]) -> None:
    """Fails with one line for each thing that is wrong, none left out."""
    lines = sorted(map(str, wrong))
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
