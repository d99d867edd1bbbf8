"""The static checks, one test each; `./dev lint` runs them alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import buildconf
from tests import native, tree

pytestmark = pytest.mark.lint

STUBS = [path.with_suffix("").as_posix().replace("/", ".") for path in tree.files(".pyi", under="hftcore")]


def check(*command: str) -> None:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=buildconf.ROOT, env=os.environ | {"PATH": tools}, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{result.stdout}{result.stderr}", pytrace=False)


def test_ruff_check() -> None:
    check("ruff", "check", "--quiet", ".")


def test_ruff_format() -> None:
    check("ruff", "format", "--check", "--quiet", ".")


def test_mypy() -> None:
    check("mypy")


def test_every_public_extension_has_a_stub() -> None:
    public = [path for path in tree.files(".pyx", under="hftcore") if not path.name.startswith("_")]
    tree.expect_none(path for path in public if not (buildconf.ROOT / path.with_suffix(".pyi")).exists())


def test_stubs_say_what_the_extensions_are() -> None:
    check("stubtest", "--concise", "--mypy-config-file", "pyproject.toml", *STUBS)


def test_cython_lint() -> None:
    check("cython-lint", "hftcore")


def test_the_core_compiles_without_warnings() -> None:
    native.release_objects()


def test_the_shell_scripts_parse() -> None:
    check("sh", "-n", "dev")
    check("bash", "-n", ".ci/run")
