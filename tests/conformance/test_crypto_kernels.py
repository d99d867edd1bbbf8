"""The tests of hashes, text and what is signed, once more on each kernel this machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import buildconf
from hftcore._status import cpu_features

FILES = [
    "tests/conformance/test_crypto_vectors.py",
    "tests/conformance/test_crypto_merkle.py",
    "tests/property/test_crypto_properties.py",
    "tests/property/test_order_properties.py",
    "tests/property/test_text_codecs.py",
]
# What each level needs of the CPU, in the order in which they are preferred.
LEVELS = {"portable": "", "avx2": "avx2", "shani": "sha-ni", "avx512": "avx512"}


def run(level: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=buildconf.ROOT,
        env=os.environ | {"HFTCORE_CPU": level},
        capture_output=True,
        text=True,
        check=False,
    )


def there() -> list[str]:
    return [level for level, needs in LEVELS.items() if not needs or cpu_features()[needs]]


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_level(level: str) -> None:
    if level not in there():
        pytest.skip(f"this CPU has no {LEVELS[level]}")
    if level == (os.environ.get("HFTCORE_CPU") or there()[-1]):
        pytest.skip("the tests themselves run on this one")
    result = run(level, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES)
    assert result.returncode == 0, result.stdout[-4000:]
    assert " passed" in result.stdout


@pytest.mark.parametrize("level", ["turbo", "", *LEVELS])
def test_a_level_that_is_not_there_is_refused_and_told_what_is(level: str) -> None:
    result = run(level, "-c", "import hftcore._status as status; print(status.sha256_kernel())")
    if level in there():
        assert result.stdout == f"{level}\n"
    elif level == "":  # as if it were not set
        assert result.stdout == f"{there()[-1]}\n"
    else:
        assert result.returncode != 0
        assert f"HFTCORE_CPU={level}; this machine has {', '.join(there())}" in result.stderr
