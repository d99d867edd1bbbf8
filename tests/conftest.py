"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of third-party data (blocks, vectors) that is not part of the project; tests skip without it."""
    path = Path(os.environ.get("HFTCORE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (path / "data").is_dir():
        pytest.skip(f"no third-party data at {path} (HFTCORE_SHARED names another place)")
    return path
