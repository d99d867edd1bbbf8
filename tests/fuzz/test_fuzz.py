"""Every tests/fuzz/fuzz_*.c for a second or two, with the same inputs each time. `./dev fuzz` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import native
from tests.fuzz import seeds


@pytest.mark.parametrize("target", seeds.targets(), ids=lambda path: path.stem)
def test_fuzz(target: Path, tmp_path: Path) -> None:
    program = native.build_fuzzer(target)
    inputs = seeds.write(target, tmp_path / "seeds")
    crash = native.BUILD / f"{target.stem}.crash"
    result = native.run(program, *inputs, "--iterations", "10000", "--seconds", "4", "--crash", str(crash))
    if result.returncode != 0:
        message = f"{result.stdout}{result.stderr}\nrun it again: {program} {crash}"
        pytest.fail(message, pytrace=False)


def test_the_driver_finds_a_planted_mistake(tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    program = native.build_fuzzer(Path("tests/fuzz/planted.c"))
    result = native.run(program, "--iterations", "2000000", "--seconds", "30", "--crash", str(crash))
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr
    assert crash.read_bytes().startswith(b"order")
    again = native.run(program, str(crash))
    assert "heap-buffer-overflow" in again.stderr
