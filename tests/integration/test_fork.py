"""A process that forks keeps its connections to itself: its child can neither use nor disturb them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.fork_program import refused
from tests.integration.ws_server import serving

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("face", ["reactor", "asyncio", "blocking"])
def test_a_child_does_not_disturb_a_connection(backend: str, trust: rig.Trust, face: str, scheme: str) -> None:
    with serving(context=trust.context if scheme == "wss" else None) as server:
        # Python 3.12 and later say of every fork beside threads that it may deadlock.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.integration.fork_program", face,
                   backend, server.url("echo"), str(trust.ca_file)]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, timeout=30, cwd=ROOT, text=True)
        assert (done.stdout, done.stderr) == ("undisturbed\n", "")
        assert done.returncode == 0


def test_a_child_does_not_disturb_an_engine(stage: Stage) -> None:
    engine = stage.start(dry_run=True)
    pid = os.fork()
    if pid == 0:
        problem = 1
        try:
            calls: list[Callable[[], object]] = [
                lambda: engine.next_event(0), engine.stats, engine.latency, engine.peers, engine.kill, engine.start,
                engine.wait_ready, lambda: engine.replace_watch(rig.watch_table()),
            ]  # fmt: skip
            refused(calls)
            assert not engine.running
            engine.stop()  # what the program's end does
            problem = 0
        finally:
            stage.engines.clear()
            del engine
            gc.collect()
            os._exit(problem)
    assert os.waitpid(pid, 0)[1] == 0
    stage.peer.deliver(rig.deposit(1))
    assert engine.next_event(rig.WAIT_S) is not None
    assert engine.running
