"""Between received bytes and submitted order nothing is allocated: the reactor's thread is watched while it trades.

Counted are all calls of that thread, OpenSSL's included, from the announcement of a transaction on, timers too.
Where OpenSSL writes or reads a record itself (all of TLS 1.2, and answers), it takes a block for it and gives it back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import buildconf
from hftcore import build_info
from tests import native


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if build_info().mode == "sanitize":
        pytest.skip("a sanitizer has its own allocator")
    library = tmp_path_factory.mktemp("counter") / "count_allocations.so"
    source = Path(__file__).with_name("count_allocations.c")
    native.compile_c([native.CC, "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", str(source), "-o", str(library)])
    return library


@pytest.mark.parametrize(("mode", "tls"), [("sleep", "TLSv1_3"), ("spin", "TLSv1_3"), ("sleep", "TLSv1_2")])
def test_nothing_is_allocated_for_an_order(backend: str, mode: str, tls: str, counter: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.integration.allocations", backend, mode, tls, str(tmp_path)],
        cwd=buildconf.ROOT,
        env=os.environ | {"LD_PRELOAD": str(counter)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["connecting"]["malloc"] > 100, "the counter does not count: a TLS handshake allocates"
    assert report["orders"] == 400
    ordering, answering, orders = report["ordering"], report["answering"], report["orders"]
    if tls == "TLSv1_3":
        assert ordering == dict.fromkeys(ordering, 0), report["places"]
    else:  # OpenSSL writes these records
        assert ordering["malloc"] + ordering["calloc"] == ordering["free"] <= 2 * orders, report["places"]
    assert answering["malloc"] + answering["calloc"] == answering["free"] <= 4 * orders, report["places"]
    assert answering["mmap"] == ordering["mmap"] == 0
