"""The door: what ./dev says, and what it does on a machine where something is missing. apt-get is a recorder here."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import buildconf

DEV = buildconf.ROOT / "dev"
TOOLS = ["cat", "cut", "dirname", "env", "find", "mkdir", "rm", "sed", "sh", "sha256sum", "sort", "tail", "tr"]


def commands() -> set[str]:
    cases = DEV.read_text().partition("\ncase $command in\n")[2]
    return set(re.findall(r"^([a-z]+)(?: \| [^)]*)?\) ", cases, re.M))


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEV, *arguments], capture_output=True, text=True, check=False)


def test_help_tells_every_command() -> None:
    result = dev("help")
    assert result.returncode == 0
    assert {"demo", "test", "bench"} < commands()
    assert commands() - {"help"} == set(re.findall(r"^  ([a-z]+) ", result.stdout, re.M))
    assert dev().stdout == dev("--help").stdout == result.stdout


def test_an_unknown_command_is_an_error() -> None:
    result = dev("tset")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "there is no command 'tset'" in result.stderr


@pytest.mark.alone
@pytest.mark.skipif(
    not (buildconf.ROOT / ".venv" / ".hftcore-built").exists(), reason="this checkout was not set up by ./dev"
)
def test_a_second_start_takes_no_time_and_says_nothing() -> None:
    dev("setup")
    start = time.monotonic()
    result = dev("setup")
    assert time.monotonic() - start < 0.5
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


class Machine:
    """A copy of the door in a place of its own, with a PATH on which only some tools are found."""

    def __init__(self, where: Path, user: int) -> None:
        self.root = where / "checkout"
        self.bin = where / "bin"
        self.log = where / "apt-get.log"
        (self.root / "hftcore").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("dev", "requirements.lock", "pyproject.toml", "setup.py", "buildconf.py"):
            shutil.copy2(buildconf.ROOT / name, self.root / name)
        for name in TOOLS:
            (self.bin / name).symlink_to(str(shutil.which(name)))
        self.add("id", f"echo {user}")
        self.add("gcc", "exit 1")
        self.add("pkg-config", "exit 1")
        self.add("apt-cache", "printf 'python3:\\n  Candidate: 3.12.3-0ubuntu2\\n'")
        self.add("apt-get", f'echo "$@" >>{self.log}')
        self.add("good-python", "echo 3.12.3")

    def add(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
        (self.bin / name).chmod(0o755)

    def dev(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "dev", *arguments],
            env={"PATH": str(self.bin), "HFTCORE_PYTHON": "good-python", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def test_root_gets_what_is_missing_from_apt(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    result = machine.dev("setup")
    assert machine.log.read_text().splitlines() == [
        "update",
        "install -y --no-install-recommends gcc libc6-dev libssl-dev zlib1g-dev",
    ]
    assert "system packages are missing: gcc libc6-dev libssl-dev zlib1g-dev" in result.stderr
    # The recorder installs nothing, and the door looks again.
    assert result.returncode == 1
    assert "this is still missing: gcc libc6-dev libssl-dev zlib1g-dev" in result.stderr
    assert not (machine.root / ".venv").exists()


def test_others_are_told_what_to_run(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    result = machine.dev("test")
    assert result.returncode == 1
    assert "\n    apt-get update && apt-get install -y gcc libc6-dev libssl-dev zlib1g-dev \n" in result.stderr
    assert not machine.log.exists()


def test_a_failing_apt_get_is_shown(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    machine.add("apt-get", "echo E: Unable to locate package; exit 100")
    result = machine.dev("setup")
    assert result.returncode == 1
    assert "E: Unable to locate package" in result.stderr
    assert "build/log/apt.log" in result.stderr


def test_without_apt_the_packages_are_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    (machine.bin / "apt-get").unlink()
    result = machine.dev("setup")
    assert result.returncode == 1
    assert "this machine has no apt-get" in result.stderr
    assert "gcc libc6-dev libssl-dev zlib1g-dev" in result.stderr


def test_a_python_that_will_not_do_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=0)
    machine.add("good-python", "exit 1")
    result = machine.dev("setup")
    assert result.returncode == 1
    assert "HFTCORE_PYTHON=good-python is not a Python >= 3.11" in result.stderr
