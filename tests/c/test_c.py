"""Every tests/c/test_*.c, compiled with the core under ASan and UBSan, and run. test_sys_*.c also get L2 to L4."""

from __future__ import annotations

from pathlib import Path

import pytest

import buildconf
from tests import native

SOURCES = sorted(path.relative_to(buildconf.ROOT) for path in Path(__file__).parent.glob("test_*.c"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_c(source: Path) -> None:
    result = native.run(native.build(source))
    if result.returncode != 0:
        pytest.fail(f"{source} exited with {result.returncode}\n{result.stdout}{result.stderr}", pytrace=False)
