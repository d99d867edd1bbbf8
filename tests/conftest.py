"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Started in the background by a shell, a process ignores Ctrl-C, and so does what it starts: tests of it would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of third-party data (blocks, vectors) that is not part of the project; tests skip without it."""
    path = Path(os.environ.get("HFTCORE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (path / "data").is_dir():
        pytest.skip(f"no third-party data at {path} (HFTCORE_SHARED names another place)")
    return path
