"""The engine's end, however and whenever it comes: bounded in time, and nothing is left behind.

Every test's stage checks at its end that descriptors, threads, sockets and memory are what they were before.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

import buildconf
from hftcore import ConfigError, ConnectionLost, Engine
from hftcore.events import DepositEvent, OrderEvent, PeerEvent, VenueEvent
from tests.integration import rig
from tests.integration.conftest import Stage

# ---- what is going on when the end comes ----


def nothing(stage: Stage) -> Engine:
    return stage.start()


def never_started(stage: Stage) -> Engine:
    return stage.engine(peers=[stage.peer_listener], venue=stage.venue_listener, rules=[rig.rule()])


def started(stage: Stage) -> Engine:
    engine = never_started(stage)
    engine.start()
    return engine


def refused(stage: Stage) -> Engine:
    engine = stage.engine()
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    for _ in range(3):
        engine.add_peer("127.0.0.1", port)
    engine.start()
    rig.wait_for(engine, lambda e: isinstance(e, PeerEvent) and e.state == "lost")
    return engine


def unresolvable(stage: Stage) -> Engine:
    engine = stage.engine()
    engine.add_peer("no-such-host.invalid", 1)
    engine.start()
    return engine


def silent_tcp(stage: Stage) -> Engine:
    engine = started(stage)
    stage.later(stage.peer_listener.accept_socket())
    stage.later(stage.venue_listener.accept_socket())
    return engine


def silent_after_tls(stage: Stage) -> Engine:
    engine = started(stage)
    stage.accept_peer().expect("version")
    stage.accept_venue()
    return engine


def silent_after_upgrade(stage: Stage) -> Engine:
    engine = started(stage)
    stage.accept_peer().handshake()
    stage.accept_venue().upgrade().expect("userDataStream.subscribe.signature")
    return engine


def half_a_message(stage: Stage) -> Engine:
    engine = stage.start()
    stage.peer.sock.sendall(rig.message("tx", rig.deposit(1).raw)[:60])
    stage.venue.sock.sendall(b'\x81\x10{"id"')
    return engine


def order_in_flight(stage: Stage) -> Engine:
    engine = stage.start(limits={"order_timeout_ms": 60_000})
    stage.peer.deliver(rig.deposit(1))
    stage.venue.expect_order()
    return engine


def order_unknown(stage: Stage) -> Engine:
    engine = stage.start()
    stage.peer.deliver(rig.deposit(1))
    rig.wait_order(engine, "sent")
    rig.wait_order(engine, "unknown")
    return engine


def closing(stage: Stage) -> Engine:
    """The venue has said that it ends, and then does not."""
    engine = stage.start()
    stage.venue.send({"event": {"e": "serverShutdown", "E": 1}})
    stage.venue.frame()
    return engine


def full_pipes(stage: Stage) -> Engine:
    """A peer and a venue that no longer read, and pings for them to answer."""
    engine = stage.start()
    ping = rig.message("ping", bytes(8)) * 500
    stage.peer.sock.settimeout(0.1)
    for _ in range(20):
        try:
            stage.peer.sock.sendall(ping)
        except OSError:
            break
    return engine


SITUATIONS: list[Callable[[Stage], Engine]] = [
    nothing, never_started, started, refused, unresolvable, silent_tcp, silent_after_tls, silent_after_upgrade,
    half_a_message, order_in_flight, order_unknown, closing, full_pipes,
]  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_stop_is_bounded(stage: Stage, situation: Callable[[Stage], Engine]) -> None:
    engine = situation(stage)
    began = time.monotonic()
    engine.stop(0.2)
    took = time.monotonic() - began
    assert took < 2.0
    assert not engine.running
    stats = engine.stats()
    assert (stats.sockets_now, stats.memory_now, stats.peers_ready_now, stats.venues_ready_now) == (0, 0, 0, 0)
    began = time.monotonic()
    engine.stop()  # again
    list(engine)  # what happened stays readable, and has an end
    assert engine.next_event() is None
    assert time.monotonic() - began < 1.0
    engine.kill()
    assert engine.latency().keys() >= {"total", "reply"}
    with pytest.raises(ConfigError):
        engine.start()


def test_stop_waits_for_the_answer_to_an_order(stage: Stage) -> None:
    engine = order_in_flight(stage)
    stopper = threading.Thread(target=engine.stop, args=(5.0,))
    began = time.monotonic()
    stopper.start()
    stage.peer.wait_closed()  # peers go at once
    stage.venue.report(f"h00-{rig.deposit(1).id[:24]}", "FILLED", "0.01000000")
    close = stage.venue.frame()
    assert (close.opcode.name, bytes(close.data)) == ("CLOSE", (1000).to_bytes(2, "big"))
    stage.venue.flush()
    stage.venue.close()
    stopper.join(rig.WAIT_S)
    assert time.monotonic() - began < 2.0
    assert [e.state for e in engine if isinstance(e, OrderEvent)] == ["sent", "filled"]


def test_stop_tells_of_an_order_without_an_answer(stage: Stage) -> None:
    engine = order_in_flight(stage)
    began = time.monotonic()
    engine.stop(0.6)
    assert 0.25 < time.monotonic() - began < 2.0
    assert [e.state for e in engine if isinstance(e, OrderEvent)] == ["sent", "unknown"]


def test_the_ring_fails_with_orders_out(stage: Stage) -> None:
    """The reactor ends, and says why; what depends on its connections is told, not forgotten."""
    if stage.backend != "epoll":
        pytest.skip("only epoll can be made to fail from outside")
    second = stage.later(rig.PeerListener())
    engine = stage.engine(peers=[stage.peer_listener, second], venue=stage.venue_listener, rules=[rig.rule()])
    others = rig.open_fds()
    engine.start()
    links = [stage.accept_peer().handshake(), stage.later(second.accept().handshake())]
    stage.accept_venue().login()
    engine.wait_ready(rig.WAIT_S)
    links[0].deliver(rig.deposit(1))
    rig.wait_order(engine, "sent")
    for link in links:  # one transaction, announced by both, that nobody has delivered
        link.announce(rig.deposit(2))
    links[0].requested()
    links[1].settle()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for opened in rig.open_fds() - others:
        if opened.endswith("[eventpoll]"):
            os.dup2(nothing, int(opened.split()[0]))
    os.close(nothing)
    rig.wait_until(lambda: not engine.running)
    assert rig.wait_order(engine, "unknown").reason == "HFT_E_ENGINE_UNKNOWN"
    with pytest.raises(OSError, match="reactor"):
        engine.stop()
    assert engine.stats().peers_ready_now == 0


def test_stop_by_another_thread_ends_iteration(stage: Stage) -> None:
    engine = stage.start()
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.extend(engine))
    reader.start()
    stage.peer.deliver(rig.deposit(1))
    stage.venue.expect_order()
    stoppers = [threading.Thread(target=engine.stop, args=(0.5,)) for _ in range(4)]
    for thread in stoppers:
        thread.start()
    for thread in [*stoppers, reader]:
        thread.join(rig.WAIT_S)
        assert not thread.is_alive()
    assert any(isinstance(event, DepositEvent) for event in seen)


def test_stop_in_a_signal_handler(stage: Stage) -> None:
    """The handler runs in the thread that waits for the next event."""
    engine = stage.start()
    seen: list[object] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: engine.stop(0.5))
    try:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        seen.extend(engine)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(seen[-1], PeerEvent | VenueEvent)


def test_async_iteration(stage: Stage) -> None:
    engine = stage.start()

    async def read() -> list[str]:
        seen = []
        async for event in engine:
            if isinstance(event, DepositEvent):
                seen.append(event.txid)
                if len(seen) == 2:
                    await asyncio.to_thread(engine.stop, 0.3)
        return seen

    async def main() -> list[str]:
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        for seed in (1, 2):
            await asyncio.to_thread(stage.peer.deliver, rig.deposit(seed))
        return await asyncio.wait_for(task, rig.WAIT_S)

    assert asyncio.run(main()) == [rig.deposit(1).id, rig.deposit(2).id]


def test_async_iteration_can_be_canceled_and_taken_up_again(stage: Stage) -> None:
    engine = stage.start()
    list(iter(lambda: engine.next_event(0), None))

    async def main() -> str:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(engine), 0.02)
        await asyncio.to_thread(stage.peer.deliver, rig.deposit(1))
        while not isinstance(event := await asyncio.wait_for(anext(engine), rig.WAIT_S), DepositEvent):
            pass
        return event.txid

    assert asyncio.run(main()) == rig.deposit(1).id


def test_async_stop_by_the_loop_itself(stage: Stage) -> None:
    engine = stage.start()

    async def main() -> int:
        asyncio.get_running_loop().call_later(0.05, engine.stop, 0.2)
        return sum([1 async for _ in engine])

    assert asyncio.run(main()) > 0


def test_the_end_of_waiting(stage: Stage) -> None:
    engine = stage.engine(peers=[stage.peer_listener])
    with pytest.raises(ConfigError):
        engine.wait_ready(0.1)
    assert engine.next_event(0.01) is None
    engine.start()
    with pytest.raises(ConnectionLost, match="0 of 1 peers"):
        engine.wait_ready(0.05)
    threading.Timer(0.05, engine.stop, (0.2,)).start()
    with pytest.raises(ConnectionLost):
        engine.wait_ready(rig.WAIT_S)


def test_garbage(stage: Stage) -> None:
    """An engine that was not started is collected like anything else, in a cycle too."""
    fds = rig.open_fds()
    for _ in range(3):
        engine = rig.engine_for(venue=stage.venue_listener, ca_file=stage.trust.ca_file, rules=[rig.rule()])
        cycle = [engine]
        cycle.append(cycle)  # type: ignore[arg-type]
        del engine, cycle
    gc.collect()
    assert rig.open_fds() == fds


def test_many_lives(backend: str) -> None:
    """Nothing adds up."""
    with rig.PeerListener() as listener:
        fds = rig.open_fds()
        for i in range(30):
            engine = rig.engine_for(peers=[listener], backend=backend)
            with engine:
                link = listener.accept()
                if i % 10 == 0:
                    link.handshake()
                    engine.wait_ready(rig.WAIT_S)
            link.close()
            assert engine.stats().memory_now == 0
        del engine
        assert rig.open_fds() == fds


# ---- processes ----

PROGRAM = """
import sys, threading
from pathlib import Path
from tests.integration import rig, test_lifecycle
from tests.integration.conftest import Stage

situation, ending, backend, directory = sys.argv[1:]
stage = Stage(backend, rig.Trust(Path(directory)))
engine = getattr(test_lifecycle, situation)(stage)
if ending == "exit":
    print("READY", flush=True)
    sys.exit(0)  # without stop()
try:
    try:
        print("READY", flush=True)
        for event in engine:
            pass
    finally:
        engine.stop(0.3)
except KeyboardInterrupt:
    stats = engine.stats()
    threads = [t.name for t in threading.enumerate() if not t.name.startswith("hft-resolve")]
    print("STOPPED", stats.sockets_now, stats.memory_now, *threads, flush=True)
    sys.exit(130)
"""
BUSY = [f.__name__ for f in SITUATIONS if f is not never_started]


def launch(situation: str, ending: str, backend: str, directory: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM, situation, ending, backend, str(directory)],
        cwd=buildconf.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first = process.stdout.readline()
    if first != "READY\n":
        process.kill()
        pytest.fail(first + process.communicate()[1])
    return process


@pytest.mark.parametrize(
    ("situation", "backend"),
    [*((name, "auto") for name in BUSY), ("nothing", "epoll"), ("order_in_flight", "epoll"), ("full_pipes", "epoll")],
)
def test_ctrl_c(backend: str, tmp_path: object, situation: str) -> None:
    process = launch(situation, "interrupt", backend, tmp_path)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=rig.WAIT_S)
    assert time.monotonic() - began < 4.0
    assert process.returncode == 130, errors
    assert out == "STOPPED 0 0 MainThread\n", errors


@pytest.mark.parametrize("situation", ["silent_after_tls", "order_in_flight"])
def test_exit_without_stop(backend: str, tmp_path: object, situation: str) -> None:
    process = launch(situation, "exit", backend, tmp_path)
    began = time.monotonic()
    out, errors = process.communicate(timeout=rig.WAIT_S)
    assert time.monotonic() - began < 4.0
    assert (process.returncode, out, errors) == (0, "", "")
