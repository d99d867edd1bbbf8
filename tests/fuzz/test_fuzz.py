"""Every tests/fuzz/fuzz_*.c for a second or two, with the same inputs each time. `./dev fuzz` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import native
from tests.fuzz import seeds, workers


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


def test_processes_share_the_mutations(tmp_path: Path) -> None:
    told: list[str] = []
    plan = workers.Plan(runs=100_001, seconds=0, seed=5, jobs=2)
    assert plan.share_of(0) == ["--iterations", "50001", "--seed", "5"]
    assert plan.share_of(1) == ["--iterations", "50000", "--seed", "6"]
    outcome = workers.fuzz(Path("tests/fuzz/fuzz_json.c"), tmp_path / "json", plan, lambda o: told.append(str(o)))
    assert outcome.failures == []
    assert outcome.mutations == 100_001
    assert outcome.seeds == len(seeds.SEEDS["json"])
    saved = len(list((tmp_path / "json").iterdir())) - outcome.seeds
    assert 1 < outcome.kept / 2 <= saved <= outcome.kept
    assert told or outcome.seconds < 2
    assert list(tmp_path.iterdir()) == [tmp_path / "json"]


def test_what_one_of_two_processes_finds_is_told(tmp_path: Path) -> None:
    planted = Path("tests/fuzz/planted.c")
    plan = workers.Plan(runs=None, seconds=60, seed=1, jobs=2)
    outcome = workers.fuzz(planted, tmp_path / "planted", plan)
    assert outcome.seconds < 50
    assert outcome.failures
    for failure in outcome.failures:
        assert "heap-buffer-overflow" in failure
        program, crash = failure.splitlines()[-1].removeprefix("run it again:  ").split()
        assert Path(crash).read_bytes().startswith(b"order")
        assert Path(crash).name in {"planted-1.crash", "planted-2.crash"}
        assert "heap-buffer-overflow" in native.run(Path(program), crash).stderr
