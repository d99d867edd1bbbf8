"""The sdist is complete, a wheel can be built from it, and that wheel works away from the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import buildconf
from tests import tree

# One worker takes them all, so that the wheel is built once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

SMOKE = """
import hashlib, hmac, sys
import hftcore
from hftcore import crypto

assert sys.prefix != sys.base_prefix
assert hftcore.__file__.startswith(sys.prefix), hftcore.__file__
assert crypto.sha256(b"abc") == hashlib.sha256(b"abc").digest()
assert crypto.HmacSha256(b"key").digest(b"message") == hmac.digest(b"key", b"message", "sha256")
for name in sys.argv[1:]:
    __import__(f"hftcore.{name}")
print("good")
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    words = [str(word) for word in command]
    env = os.environ | environment
    result = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        pytest.fail(f"{command}\n{result.stdout}{result.stderr}", pytrace=False)
    return result.stdout


def extensions() -> list[str]:
    return [name for name in buildconf.EXTENSIONS if (buildconf.ROOT / "hftcore" / f"{name}.pyx").exists()]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy without anything that building or running has made."""
    copy = tmp_path_factory.mktemp("sdist") / "checkout"
    for path in tree.files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(buildconf.ROOT / path, copy / path)
    script = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    name = run(sys.executable, "-c", script, cwd=copy).splitlines()[-1]
    return copy / "dist" / name


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from the sdist alone, with the build requirements that are installed here; optimising adds a minute."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run(*pip, "--wheel-dir", sdist.parent, sdist, cwd=sdist.parent, HFTCORE_DEBUG="1")
    (built,) = sdist.parent.glob("*.whl")
    return built


def test_the_sdist_has_every_file_of_the_project(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    generated = {"PKG-INFO", "setup.cfg"}
    made = {name for name in members if name.startswith("hftcore.egg-info/")}
    members -= generated | made
    authored = {str(path) for path in tree.files()}
    tree.expect_none(
        [*(f"missing: {name}" for name in authored - members), *(f"extra: {name}" for name in members - authored)]
    )


def test_the_wheel_has_what_users_need(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in extensions():
        assert any(re.fullmatch(rf"hftcore/{name}\..*\.so", entry) for entry in names)
    wanted = {str(path) for path in tree.files(".py", ".pyi", ".pxd", ".h", under="hftcore") if "src" not in path.parts}
    wanted |= {str(path) for path in tree.files(".py", under="runner")} | {"hftcore/py.typed", "runner/py.typed"}
    assert wanted - names == set()
    assert any(entry.endswith("/LICENSE") for entry in names)
    assert [entry for entry in names if entry.endswith((".c", ".pyx")) or entry.startswith(("tests/", "build"))] == []


def closure(name: str) -> set[str]:
    """The distributions that `name` needs at run time, itself left out."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for line in importlib.metadata.requires(todo.pop()) or []:
            requirement, _, marker = line.partition(";")
            match = re.match(r"[\w.-]+", requirement)
            if match is None or "extra" in marker:
                continue
            try:
                importlib.metadata.version(match[0])
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform or Python
            if match[0] not in found:
                found.add(match[0])
                todo.append(match[0])
    return found


def copy_distribution(name: str, site_packages: Path) -> None:
    for file in importlib.metadata.files(name) or []:
        if ".." not in file.parts:
            (site_packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file.locate(), site_packages / file)


def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """What hftcore needs is copied from this environment, so that the test needs no network."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    (site_packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for name in closure("hftcore"):
        copy_distribution(name, site_packages)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, wheel, cwd=tmp_path)
    assert run(python, "-I", "-c", SMOKE, *extensions(), cwd=tmp_path) == "good\n"
    assert "Usage" in run(python.with_name("hft"), "--help", cwd=tmp_path)
