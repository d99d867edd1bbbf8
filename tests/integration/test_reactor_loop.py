"""The reactor's loop: pings, back-pressure, fairness, calls, threads, signals, reconnecting; on both backends."""

from __future__ import annotations

import _thread
import contextlib
import os
import random
import signal
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from hftcore.errors import (
    ConnectionClosed,
    HandshakeError,
    HftError,
    LimitExceeded,
)
from hftcore.orders import OrderTemplate
from hftcore.reactor import AppPing, Connection, Deflate, Handler, Message, Reactor
from hftcore.reconnect import Reconnect
from hftcore.tls import TLSContext
from hftcore.venues import Slot
from hftcore.ws import build_frame
from tests.integration import rig
from tests.integration.wsrig import (
    QUIET,
    WAIT_S,
    Echoer,
    RawPeer,
    Recorder,
    raw_server,
    run,
    run_until,
    websockets_server,
)

# ---- pings ----


def test_pings_are_measured(reactor: Reactor) -> None:
    handler = Recorder(on_open=lambda connection: connection.ping())
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, ping_interval_s=0.05)
        run_until(reactor, lambda: handler.kinds.count("pong") >= 4)
        stats = connection.stats()
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert stats is not None
    assert stats.pongs >= 4
    assert stats.pings - stats.pongs in (0, 1)
    times = [entry[1] for entry in handler.log if entry[0] == "pong"]
    assert all(0 < rtt < 1_000_000_000 for rtt in times)
    assert stats.rtt_min_ns == min(times[: stats.pongs])
    assert not any(entry[2] for entry in handler.log if entry[0] == "pong")


def test_only_answers_count_as_such(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.send(10, (1).to_bytes(8, "big"))  # before anybody asked
        peer.send(1, b"ask")
        op, payload = peer.read_frame()
        assert op == 9
        for answer in (b"", (99).to_bytes(8, "big"), payload, payload):
            peer.send(10, answer)
        peer.send(8)
        peer.read_frame()

    class Asking(Recorder):
        def on_message(self, connection: Connection, message: Message) -> None:
            connection.ping()

    handler = Asking()
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.kinds == ["open", "pong", "close"]


def test_a_peer_that_falls_silent_is_left(reactor: Reactor) -> None:
    over = threading.Event()

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        assert peer.read_frame()[0] == 9
        peer.send(10, b"not what was asked")
        assert over.wait(10)

    handler = Recorder()
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", ping_interval_s=0.05, ping_timeout_s=0.2)
        over.set()
    assert isinstance(handler.error, ConnectionClosed)
    assert handler.error.name == "HFT_E_CONN_IDLE_TIMEOUT"
    assert handler.kinds == ["open", "close"]


def test_a_peer_that_talks_and_does_not_answer_is_left(reactor: Reactor) -> None:
    over = threading.Event()

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        with contextlib.suppress(OSError):
            while not over.wait(0.02):
                peer.send(1, b"still here")

    handler = Recorder()
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", ping_interval_s=0.05, ping_timeout_s=0.2)
        over.set()
    assert handler.error.name == "HFT_E_CONN_IDLE_TIMEOUT"
    assert handler.messages


def test_an_answer_may_stand_behind_a_long_message(reactor: Reactor) -> None:
    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.sock.sendall(b"\x82\x7e" + struct.pack(">H", 12_000))
        for _ in range(12):
            peer.sock.sendall(b"x" * 1000)
            time.sleep(0.05)
        peer.send(8)
        time.sleep(0.1)

    handler = Recorder()
    with raw_server(play) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", ping_interval_s=0.05, ping_timeout_s=0.2)
    assert handler.messages == [b"x" * 12_000]
    assert handler.error.close_code == 1005


@pytest.mark.parametrize("hide", [True, False])
def test_application_pings(reactor: Reactor, hide: bool) -> None:
    asked: list[str | bytes] = []

    def play(connection: ServerConnection) -> None:
        for message in connection:
            asked.append(message)
            connection.send(f'{{"pong":{len(asked)}}}')

    template = OrderTemplate(
        '{"op":"ping","id":${id},"ts":${ts}}', slots={"id": Slot("uint"), "ts": Slot("timestamp", scale=6)}
    )
    handler = Recorder()
    with websockets_server(play) as port:
        connection = reactor.connect(
            f"ws://127.0.0.1:{port}/", handler, ping_interval_s=0,
            app_ping=AppPing(message=template, interval_s=0.3, reply='"pong"', hide=hide),
        )  # fmt: skip
        run_until(reactor, lambda: handler.kinds.count("pong") >= 3)
        stats = connection.stats()
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert stats is not None
    assert stats.app_pongs == 3
    assert stats.app_rtt_min_ns > 0
    assert all(entry[2] for entry in handler.log if entry[0] == "pong")
    if hide:
        assert handler.messages == []
    else:
        assert handler.kinds[:5] == ["open", "pong", "message", "pong", "message"]
        assert handler.messages[0] == '{"pong":1}'
    ids = [int(str(text).partition('"id":')[2].partition(",")[0]) for text in asked]
    assert ids == list(range(1, len(asked) + 1))
    stamp = int(str(asked[0]).partition('"ts":')[2].rstrip("}"))
    assert abs(stamp / 1000 - time.time()) < 60


def test_application_pongs_may_be_late(reactor: Reactor) -> None:
    """Three pings before the first answer: each answer is one, and what else looks like one is a message."""

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        pings = [peer.read_frame()[1] for _ in range(3)]
        assert pings == [b"ping"] * 3
        for text in (b"pong 1", b"pong 2", b"pong 3", b"pong for nothing"):
            peer.send(1, text)
        peer.read_to_end()

    handler = Recorder()
    ping = AppPing(message="ping", interval_s=0.5, reply="pong")
    with raw_server(play) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET, app_ping=ping)
        run_until(reactor, lambda: handler.messages)
        stats = connection.stats()
        connection.abort()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == ["pong for nothing"]
    assert stats is not None
    assert (stats.app_pings, stats.app_pongs) == (3, 3)
    first, second, third = (entry[1] for entry in handler.log if entry[0] == "pong")
    assert first > second + 300e6 > third + 600e6


def test_a_pause_holds_the_message_that_was_a_pong_too(reactor: Reactor) -> None:
    class Pauser(Recorder):
        def on_pong(self, connection: Connection, rtt_ns: int, is_app: bool) -> None:
            super().on_pong(connection, rtt_ns, is_app)
            connection.pause()

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.read_frame()
        peer.sock.sendall(build_frame(1, b"pong", mask=None) + build_frame(1, b"behind", mask=None))
        peer.read_to_end()

    handler = Pauser()
    with raw_server(play) as port:
        connection = reactor.connect(
            f"ws://127.0.0.1:{port}/",
            handler,
            **QUIET,
            app_ping=AppPing(message="ping", interval_s=0.1, reply="pong", hide=False),
        )
        run_until(reactor, lambda: "pong" in handler.kinds)
        for _ in range(3):
            reactor.poll(0.02)
        assert handler.kinds == ["open", "pong"]
        connection.resume()
        run_until(reactor, lambda: "behind" in handler.messages)
        connection.abort()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == ["pong", "behind"]


# ---- back-pressure ----


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_latest_ping_is_answered_once_there_is_room(reactor: Reactor, trust: rig.Trust, tls: bool) -> None:
    """What a flood of pings finds no room for is made up for with one pong (RFC 6455 section 5.5.3)."""
    full, flooded = threading.Event(), threading.Event()
    payloads = [number.to_bytes(4, "big") * 31 for number in range(100)]
    pongs: list[bytes] = []

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        full.wait(WAIT_S)
        peer.sock.sendall(b"".join(build_frame(9, payload, mask=None) for payload in payloads))
        flooded.wait(WAIT_S)
        while not pongs or pongs[-1] != payloads[-1]:
            op, payload = peer.read_frame()
            pongs.extend([payload] if op == 10 else [])

    def fill(connection: Connection) -> None:
        with contextlib.suppress(LimitExceeded):
            while True:
                connection.send(bytes(4000))

    handler = Recorder(on_open=fill)
    options: dict[str, Any] = {"tls": TLSContext(ca_file=trust.ca_file)} if tls else {}
    with raw_server(play, context=trust.context if tls else None) as port:
        url = f"{'wss' if tls else 'ws'}://localhost:{port}/"
        connection = reactor.connect(url, handler, **QUIET, **options, send_queue=65536, send_buffer=8192)
        run_until(reactor, lambda: "open" in handler.kinds)
        for _ in range(10):  # until the kernel takes no more either
            reactor.poll(0.02)
            fill(connection)
        full.set()
        for _ in range(10):
            reactor.poll(0.02)
        flooded.set()
        run_until(reactor, lambda: not reactor.connections)
    assert len(pongs) < len(payloads) / 2


def noise(number: int) -> bytes:
    """40 kB that no compression makes shorter."""
    return number.to_bytes(4, "big") + random.Random(number).randbytes(40_000)


@pytest.mark.parametrize("kind", ["ws", "wss", "compressed"])
def test_a_full_queue_refuses_whole_messages(reactor: Reactor, trust: rig.Trust, kind: str) -> None:
    read_on = threading.Event()
    received: list[int] = []

    def play(peer: RawPeer) -> None:
        extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if kind == "compressed" else b""
        peer.upgrade(extra=extension)
        assert read_on.wait(10)
        unpacker = zlib.decompressobj(-15)
        while (frame := peer.read_frame())[0] != 8:
            data = unpacker.decompress(frame[1] + b"\0\0\xff\xff") if kind == "compressed" else frame[1]
            received.append(int.from_bytes(data[:4], "big"))
            assert data == noise(received[-1])
        peer.send(8, frame[1])

    accepted: list[int] = []

    def fill(connection: Connection) -> None:
        number = 0
        with contextlib.suppress(LimitExceeded):
            while number < 10_000:
                connection.send(noise(number))
                accepted.append(number)
                number += 1
        assert number < 10_000

    class Filler(Recorder):
        def on_writable(self, connection: Connection) -> None:
            super().on_writable(connection)
            assert connection.stats().send_queue <= 130_000  # type: ignore[union-attr]
            connection.send(noise(0xFFFF))
            connection.close()

    handler = Filler(on_open=fill)
    tls = kind == "wss"
    options: dict[str, Any] = {"tls": TLSContext(ca_file=trust.ca_file)} if tls else {}
    with raw_server(play, context=trust.context if tls else None) as port:
        connection = reactor.connect(
            f"{'wss' if tls else 'ws'}://localhost:{port}/", handler, send_queue=200_000, send_buffer=65536,
            compression=Deflate() if kind == "compressed" else None, **QUIET, **options,
        )  # fmt: skip
        run_until(reactor, lambda: accepted)
        for _ in range(10):
            assert reactor.poll(0.01) is False
        assert handler.kinds == ["open"]
        read_on.set()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.error is None
    assert handler.kinds == ["open", "writable", "close"]
    assert received == [*accepted, 0xFFFF]
    stats = connection.stats()
    assert stats is not None
    assert (stats.sends_refused, stats.messages_out) == (1, len(accepted) + 1)


def test_a_message_larger_than_the_queue_is_refused(reactor: Reactor) -> None:
    def send(connection: Connection) -> None:
        with pytest.raises(LimitExceeded):
            connection.send(b"x" * 100_001)
        connection.send(b"small")

    handler = Recorder(on_open=send)
    with websockets_server() as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, send_queue=100_000, **QUIET)
        run_until(reactor, lambda: handler.messages)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == [b"small"]


def test_a_paused_connection_holds_up_its_peer(reactor: Reactor) -> None:
    sent = [0]

    def play(peer: RawPeer) -> None:
        peer.upgrade()
        peer.sock.sendall(b"".join(b"\x82\x02" + number.to_bytes(2, "big") for number in range(20)))
        for number in range(20, 400):
            peer.send(2, number.to_bytes(2, "big") + b"x" * 50_000)
            sent[0] += 1
        peer.read_frame()

    class Pauser(Recorder):
        def on_message(self, connection: Connection, message: Message) -> None:
            self.log.append(("message", message.data[:2]))
            if len(self.messages) == 3:
                connection.pause()

    handler = Pauser()
    with raw_server(play) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, recv_queue=65536, recv_buffer=65536, **QUIET)
        run_until(reactor, lambda: len(handler.messages) == 3)
        stuck = -1
        while stuck != sent[0]:
            stuck = sent[0]
            for _ in range(20):
                reactor.poll(0.01)
        assert len(handler.messages) == 3
        assert sent[0] < 300
        connection.resume()
        run_until(reactor, lambda: len(handler.messages) == 400)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.messages == [number.to_bytes(2, "big") for number in range(400)]


def test_a_flood_does_not_keep_others_waiting(reactor: Reactor) -> None:
    stop = threading.Event()

    def flood(peer: RawPeer) -> None:
        peer.upgrade()
        peer.sock.settimeout(1)
        data = b"\x82\x10" + b"x" * 16
        try:
            while not stop.is_set():
                peer.sock.sendall(data * 2000)
        except OSError:
            pass

    class Slow(Handler):
        count = 0

        def on_message(self, connection: Connection, message: Message) -> None:
            Slow.count += 1

    between: list[int] = []

    class Quiet(Echoer):
        def on_message(self, connection: Connection, message: Message) -> None:
            between.append(Slow.count)
            super().on_message(connection, message)

    with raw_server(flood) as flooding, websockets_server() as port:
        noisy = reactor.connect(f"ws://127.0.0.1:{flooding}/", Slow(), **QUIET)
        run_until(reactor, lambda: Slow.count > 1000)
        quiet = Quiet([str(i) for i in range(50)])
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", quiet, **QUIET)
        run_until(reactor, lambda: not connection.is_open and quiet.messages)
        stop.set()
        noisy.abort()
        run_until(reactor, lambda: not reactor.connections)
    assert quiet.messages == [str(i) for i in range(50)]
    assert Slow.count > between[0]  # it went on meanwhile


# ---- the loop ----


class Boom(Exception):
    pass


def test_what_a_handler_raises_comes_out_of_run(reactor: Reactor) -> None:
    class Bad(Echoer):
        def on_message(self, connection: Connection, message: Message) -> None:
            if message.text == "2":
                self.go_on(connection)
                raise Boom
            super().on_message(connection, message)

    handler = Bad(["1", "2", "3"])
    with websockets_server() as port:
        reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        with pytest.raises(Boom):
            reactor.run()
        reactor.run()
    assert handler.messages == ["1", "3"]
    assert handler.error is None


def test_calls_are_made_in_time_and_in_order(reactor: Reactor) -> None:
    log: list[Any] = []
    reactor.call_later(0.1, log.append, "late")
    cancelled = reactor.call_later(0.02, log.append, "never")
    reactor.call_later(0.05, log.append, "soon")
    reactor.call_soon_threadsafe(log.append, "now")
    cancelled.cancel()
    start = time.monotonic()
    reactor.run()
    assert log == ["now", "soon", "late"]
    assert 0.1 <= time.monotonic() - start < 1


def test_another_thread_may_only_ask(reactor: Reactor) -> None:
    log: list[Any] = []

    def other() -> None:
        for call in (reactor.run, reactor.poll, reactor.close, lambda: reactor.call_later(0, print)):
            try:
                call()
            except RuntimeError as error:
                log.append(str(error))
        reactor.call_soon_threadsafe(lambda: log.append(_thread.get_ident()))
        reactor.call_soon_threadsafe(reactor.stop)

    thread = threading.Thread(target=other, name="other")
    start = time.monotonic()
    thread.start()
    reactor.run(forever=True)
    thread.join()
    assert time.monotonic() - start < 5
    assert len(log) == 5
    assert all("other calls: use call_soon_threadsafe" in text for text in log[:4])
    assert log[4] == _thread.get_ident()


def test_a_handler_may_not_run_the_reactor(reactor: Reactor) -> None:
    def nest(connection: Connection) -> None:
        for call in (reactor.run, reactor.poll, reactor.close):
            with pytest.raises(HftError, match="one of its handlers"):
                call()
        connection.close()

    handler = Recorder(on_open=nest)
    with websockets_server() as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/")
    assert handler.error is None


@pytest.mark.parametrize("spin_us", [0.0, 100.0, float("inf")], ids=["sleep", "spin then sleep", "spin"])
def test_ctrl_c_ends_run(backend: str, spin_us: float) -> None:
    with Reactor(backend=backend, spin_us=spin_us) as reactor:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            reactor.run(forever=True)
        assert time.monotonic() - start < 1.5
        reactor.call_later(0.01, reactor.stop)
        reactor.run(forever=True)


def test_other_threads_run_while_it_polls(backend: str) -> None:
    counts = [0]
    over = threading.Event()

    def count() -> None:
        while not over.is_set():
            counts[0] += 1

    with Reactor(backend=backend, spin_us=float("inf")) as reactor:
        thread = threading.Thread(target=count)
        thread.start()
        reactor.call_later(0.3, reactor.stop)
        reactor.run(forever=True)
        over.set()
        thread.join()
    assert counts[0] > 10_000


@pytest.mark.parametrize("spin_us", [0.0, 50.0])
def test_an_idle_reactor_sleeps(backend: str, spin_us: float) -> None:
    with Reactor(backend=backend, spin_us=spin_us) as reactor, websockets_server() as port:
        handler = Recorder()
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: handler.log)
        before = time.thread_time()
        for _ in range(10):
            reactor.poll(0.05)
        assert time.thread_time() - before < 0.1
        connection.close()
        run_until(reactor, lambda: not reactor.connections)


def test_closing_the_reactor_tells_every_connection_once(backend: str) -> None:
    handlers = [Recorder() for _ in range(4)]
    with websockets_server() as port, socket.create_server(("127.0.0.1", 0)) as mute:
        reactor = Reactor(backend=backend)
        for handler in handlers[:2]:
            reactor.connect(f"ws://127.0.0.1:{port}/", handler, **QUIET)
        run_until(reactor, lambda: all(handler.log for handler in handlers[:2]))
        reactor.connect(f"ws://127.0.0.1:{mute.getsockname()[1]}/", handlers[2], **QUIET)
        reactor.poll(0.2)
        reactor.connect(f"ws://127.0.0.1:{port}/", handlers[3], **QUIET)  # the socket is on its way
        reactor.close()
        reactor.close()
    assert [handler.kinds for handler in handlers] == [["open", "close"], ["open", "close"], ["close"], ["close"]]
    assert {handler.error.name for handler in handlers} == {"HFT_E_CONN_STOPPED"}
    with pytest.raises(HftError, match="closed"):
        reactor.run()
    with pytest.raises(HftError, match="closed"):
        reactor.call_soon_threadsafe(print)
    reactor.stop()


@pytest.mark.parametrize("kernel", [False, True])
def test_messages_carry_the_times_they_came(reactor: Reactor, kernel: bool) -> None:
    stamps: list[tuple[int, int]] = []

    class Clock(Handler):
        def on_open(self, connection: Connection) -> None:
            connection.send("first")

        def on_message(self, connection: Connection, message: Message) -> None:
            stamps.append((message.recv_ns, message.kernel_ns))
            # The kernel begins to stamp a while after it is asked to.
            if len(stamps) < 2 or (kernel and not stamps[-2][1]):
                connection.send("next")
            else:
                connection.close()

    with websockets_server() as port:
        before = time.monotonic_ns(), time.time_ns()
        reactor.connect(f"ws://127.0.0.1:{port}/", Clock(), kernel_timestamps=kernel, **QUIET)
        run_until(reactor, lambda: not reactor.connections)
        after = time.monotonic_ns(), time.time_ns()
    assert before[0] <= stamps[-2][0] <= stamps[-1][0] <= after[0]
    if kernel:
        assert before[1] <= stamps[-2][1] < stamps[-1][1] <= after[1]
    else:
        assert (stamps[-2][1], stamps[-1][1]) == (0, 0)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("compressed", [False, True])
def test_the_memory_of_a_long_message_is_given_back(reactor: Reactor, compressed: bool) -> None:
    size = 16_000_000

    def play(connection: ServerConnection) -> None:
        connection.send(random.Random(1).randbytes(size) if not compressed else bytes(size))
        for _ in connection:
            pass

    class Counter(Recorder):
        def on_message(self, connection: Connection, message: Message) -> None:
            self.log.append(("message", len(message)))

    handler = Counter()
    compression = Deflate() if compressed else None
    with websockets_server(play, compression="deflate" if compressed else None) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, compression=compression, **QUIET)
        run_until(reactor, lambda: handler.messages)
        assert handler.messages == [size]
        most = resident()
        run_until(reactor, lambda: resident() < most - size * 9 // 10, 4)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.error is None


def mapped() -> int:
    """Bytes of writable mappings that are no file's, touched or not. Their number tells nothing: neighbours are one."""
    fields = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    places = [field[0].split("-") for field in fields if field[1] == "rw-p" and len(field) == 5]
    return sum(int(end, 16) - int(begin, 16) for begin, end in places)


def test_nothing_is_left_of_closed_connections(backend: str) -> None:
    with websockets_server() as port, Reactor(backend=backend, max_connections=2) as reactor:

        def once() -> None:
            handler = Echoer(["x" * 300_000])
            run(reactor, handler, f"ws://127.0.0.1:{port}/", compression=None)
            assert handler.error is None

        for _ in range(3):
            once()
        fds, before = rig.open_fds(), mapped()
        for _ in range(30):
            once()
        assert not {fd for fd in rig.open_fds() - fds if fd.startswith("socket:")}
        assert mapped() - before < 100_000_000  # five connections' worth, which a thread's stack does not reach


def test_a_full_reactor_says_so(backend: str) -> None:
    with websockets_server() as port, Reactor(backend=backend, max_connections=1) as reactor:
        first, second = Recorder(), Recorder()
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", first, **QUIET)
        run_until(reactor, lambda: first.log)
        reactor.connect(f"ws://127.0.0.1:{port}/", second, **QUIET)
        run_until(reactor, lambda: second.log)
        assert isinstance(second.error, LimitExceeded)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
        assert first.error is None


# ---- reconnecting ----

FAST = Reconnect(initial_s=0.01, max_s=0.05)


def test_a_lost_connection_comes_back(reactor: Reactor) -> None:
    def cut(peer: RawPeer) -> None:
        peer.upgrade()
        peer.send(1, b"one")

    def refuse(peer: RawPeer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    def stay(peer: RawPeer) -> None:
        peer.upgrade()
        peer.send(1, b"two")
        assert peer.read_frame()[0] == 8
        peer.send(8, struct.pack(">H", 1000))

    handler = Recorder()
    with raw_server(cut, refuse, stay) as port:
        connection = reactor.connect(f"ws://127.0.0.1:{port}/", handler, reconnect=FAST, **QUIET)
        run_until(reactor, lambda: "two" in handler.messages)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert handler.kinds == ["open", "message", "lost", "lost", "open", "message", "close"]
    assert isinstance(handler.log[2][1], ConnectionClosed)
    assert isinstance(handler.log[3][1], HandshakeError)
    assert handler.error is None


def test_what_no_attempt_can_mend_is_final(reactor: Reactor) -> None:
    def refuse(peer: RawPeer) -> None:
        peer.read_request()
        peer.sock.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    handler = Recorder()
    with raw_server(refuse) as port:
        run(reactor, handler, f"ws://127.0.0.1:{port}/", reconnect=FAST)
    assert handler.kinds == ["close"]
    assert handler.error.status == 403


def test_closing_between_two_attempts(reactor: Reactor, closed_port: int) -> None:
    handler = Recorder()
    policy = Reconnect(initial_s=60, max_s=60)
    connection = reactor.connect(f"ws://127.0.0.1:{closed_port}/", handler, reconnect=policy, **QUIET)
    run_until(reactor, lambda: handler.kinds == ["lost"])
    connection.close()
    run_until(reactor, lambda: not reactor.connections, 1)
    assert handler.kinds == ["lost", "close"]
    assert handler.error is None


@pytest.mark.parametrize("race", [False, True])
def test_one_endpoint_of_several_will_do(reactor: Reactor, closed_port: int, race: bool) -> None:
    handler = Recorder(on_open=lambda connection: connection.close())
    with websockets_server() as port:
        connection = run(
            reactor, handler, [f"ws://127.0.0.1:{closed_port}/", f"ws://127.0.0.1:{port}/"],  # type: ignore[arg-type]
            reconnect=Reconnect(initial_s=0.01, race=race),
        )  # fmt: skip
    assert connection.url == f"ws://127.0.0.1:{port}/"
    assert handler.kinds == (["open", "close"] if race else ["lost", "open", "close"])


def test_an_old_connection_is_replaced_without_a_gap(reactor: Reactor) -> None:
    names = iter("ABCDEFGHIJ")

    def play(connection: ServerConnection) -> None:
        name = next(names)
        try:
            while True:
                connection.send(name)
                time.sleep(0.02)
        except Exception:
            return

    handler = Recorder()
    with websockets_server(play) as port:
        connection = reactor.connect(
            f"ws://127.0.0.1:{port}/", handler, reconnect=Reconnect(max_age_s=0.3, overlap_s=0.2), **QUIET
        )
        run_until(reactor, lambda: handler.messages.count("B") > 12)
        connection.close()
        run_until(reactor, lambda: not reactor.connections)
    assert "lost" not in handler.kinds
    assert handler.error is None
    assert handler.kinds.count("open") >= 2
    text = "".join(str(message) for message in handler.messages)
    assert "BA" in text  # both for a while
    assert text.rfind("A") < text.rfind("B")
