"""The judge of Autobahn's reports, and what `./dev conformance` says where the suite cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import buildconf
from tests.autobahn import suites


def case(behavior: str = "OK", close: str = "OK") -> dict[str, str]:
    return {"behavior": behavior, "behaviorClose": close}


def test_all_good() -> None:
    result = suites.judge({"1.1": case(), "7.1.6": case("INFORMATIONAL"), "7.13.1": case(close="INFORMATIONAL")}, 3)
    assert result.good
    assert result.cases == 3


def test_everything_else_counts() -> None:
    result = suites.judge(
        {
            "1.1": case(), "10.1": case("FAILED"), "2.1": case("UNIMPLEMENTED"), "3.2": case("NON-STRICT"),
            "4.1": case("WRONG CODE", "FAILED BY CLIENT"), "7.1": case(close="UNCLEAN"),
            "7.2": case(close="WRONG CODE"),
        },
        7,
    )  # fmt: skip
    assert result.failed == ["2.1", "4.1", "10.1"]
    assert result.non_strict == ["3.2"]
    assert result.wrong_close == ["4.1", "7.1", "7.2"]
    assert not result.missing
    assert not result.good


def test_a_case_that_was_not_played_counts() -> None:
    assert not suites.judge({"1.1": case()}, 2).good
    assert not suites.judge({}, 1).good


def test_without_python_2_it_says_so_and_is_no_failure(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.autobahn"],
        cwd=buildconf.ROOT, env=os.environ | {"HFTCORE_PYTHON2": str(tmp_path / "python2.7")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Autobahn was not run" in result.stdout
    assert "HFTCORE_PYTHON2" in result.stdout
