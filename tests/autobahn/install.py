"""The suite itself, in build/autobahn. It is Python 2 code: on a Python 3 it installs, but does not start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import buildconf

FOLDER = buildconf.ROOT / "build" / "autobahn"
LOG = buildconf.ROOT / "build" / "log" / "autobahn.log"
PACKAGE = "autobahntestsuite==25.10.1"


class InstallError(Exception):
    """A step failed; the message names it and the log."""


def _candidates() -> Iterator[str]:
    named = os.environ.get("HFTCORE_PYTHON2")
    if named:
        yield named
        return
    yield "python2.7"
    yield "/usr/bin/python2.7"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for path in sorted(pyenv.glob("versions/2.7.*/bin/python"), reverse=True))


def find_python() -> str | None:
    """The path of a Python 2.7 that can install packages; HFTCORE_PYTHON2, if set, is the only one looked at."""
    for name in _candidates():
        path = shutil.which(name)
        if path is None:
            continue
        # A shim of pyenv is found, too, but runs nothing where no such version is chosen.
        check = "import sys, ssl, pip; sys.exit(sys.version_info[:2] != (2, 7))"
        if subprocess.run([path, "-c", check], capture_output=True, check=False).returncode == 0:
            return path
    return None


def installed() -> Path | None:
    """The suite's program, wstest, if it is there in full."""
    stamp = FOLDER / "installed"
    wanted = f"{PACKAGE} {FOLDER}"  # its scripts name the folder: one that moved is no good
    return FOLDER / "venv" / "bin" / "wstest" if stamp.exists() and stamp.read_text() == wanted else None


def _step(*command: str | Path, python_path: str = "") -> None:
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n")
        log.flush()
        environment = os.environ | {"PYTHONPATH": python_path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        words = [str(word) for word in command]
        if subprocess.run(words, stdout=log, stderr=log, env=environment, check=False).returncode != 0:
            raise InstallError(f"this failed: {' '.join(words)}\nthe whole output is in {LOG}")


def install(python: str) -> Path:
    """Makes an environment of this Python 2.7 with the suite in it, from the network, in less than a minute."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    _step(python, "-m", "pip", "install", "--target", FOLDER / "boot", "virtualenv<20.16")
    _step(python, "-m", "virtualenv", FOLDER / "venv", python_path=str(FOLDER / "boot"))
    _step(FOLDER / "venv" / "bin" / "pip", "install", PACKAGE)
    wstest = FOLDER / "venv" / "bin" / "wstest"
    _step(wstest, "--help")
    shutil.rmtree(FOLDER / "boot")
    (FOLDER / "installed").write_text(f"{PACKAGE} {FOLDER}")
    return wstest
