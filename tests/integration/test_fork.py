"""A process that forks keeps its connections to itself: its child can neither use nor disturb them."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hftcore.reactor import Connection, Reactor
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.fork_program import refused
from tests.integration.ws_server import serving
from tests.integration.wsrig import WAIT_S, RawPeer, Recorder, raw_server, run

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


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """While a child has copies of all that is open here."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        yield
    finally:
        os.close(writing)
        os.waitpid(pid, 0)


def test_the_peer_is_told_of_the_end_whatever_a_child_has_open(backend: str) -> None:
    """Another thread may not close the child's copies: the reactor's own may be in the middle of something."""
    ended, opened = threading.Event(), threading.Event()
    connections: list[Connection] = []

    def read_to_end(peer: RawPeer) -> None:
        peer.upgrade()
        peer.read_to_end()
        ended.set()

    def keep(connection: Connection) -> None:
        connections.append(connection)
        opened.set()

    def own(port: int) -> None:
        with Reactor(backend=backend) as reactor:
            run(reactor, Recorder(on_open=keep), f"ws://127.0.0.1:{port}/")

    with raw_server(read_to_end) as port:
        thread = threading.Thread(target=own, args=(port,))
        thread.start()
        assert opened.wait(WAIT_S)
        with forked():
            connections[0].reactor.call_soon_threadsafe(connections[0].abort)
            assert ended.wait(WAIT_S / 2)
        thread.join(WAIT_S)


def test_a_child_leaves_to_its_parent_what_was_planned(reactor: Reactor) -> None:
    done: list[str] = []
    pids: list[int] = []
    reactor.call_later(0, lambda: pids.append(os.fork()))
    reactor.call_later(0, done.append, "planned")
    said = ""
    try:
        reactor.run()
    except RuntimeError as error:
        said = str(error)
    finally:
        if pids == [0]:
            os._exit(0 if not done and "a fork cannot use it" in said else 1)
    assert os.waitpid(pids[0], 0)[1] == 0
    assert (done, said) == (["planned"], "")


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
