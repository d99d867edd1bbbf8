"""The tests of the hashes and of what is signed with them, once more on each kernel this machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import buildconf
from hftcore._status import cpu_features

FILES = [
    "tests/conformance/test_crypto_vectors.py",
    "tests/property/test_crypto_properties.py",
    "tests/property/test_order_properties.py",
]


@pytest.mark.parametrize(
    ("level", "needs"), [("portable", ""), ("avx2", "avx2"), ("shani", "sha-ni"), ("avx512", "avx512")]
)
def test_level(level: str, needs: str) -> None:
    if needs and not cpu_features()[needs]:
        pytest.skip(f"this CPU has no {needs}")
    environment = os.environ | {"HFTCORE_CPU": level}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES]
    result = subprocess.run(command, cwd=buildconf.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:]
    assert " passed" in result.stdout


def test_unknown_level_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import hftcore.crypto"],
        cwd=buildconf.ROOT,
        env=os.environ | {"HFTCORE_CPU": "turbo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "HFTCORE_CPU=turbo; this machine has portable" in result.stderr
