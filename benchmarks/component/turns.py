"""Runs the C programs that measure several sides in turn (common/turns.h)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import buildconf
from benchmarks import samples


def execute(*command: object, env: dict[str, str] | None = None) -> str:
    """What the command prints; an error quotes what it complained about."""
    result = subprocess.run(
        [str(word) for word in command], cwd=buildconf.ROOT, env=env, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def measure(program: Path, folder: Path, blocks: int, *arguments: object) -> list[samples.Side]:
    """The sides, ours first, that `program CORE FOLDER BLOCKS ARGUMENTS` measured."""
    names = execute(program, samples.cores()[0], folder, blocks, *arguments).splitlines()
    sides = [samples.Side(name) for name in names]
    for number, side in enumerate(sides):
        side.add(tenths / 10 for tenths in samples.read(folder / str(number)))
    return sides
