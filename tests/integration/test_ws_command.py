"""`hft ws` against a server of the `websockets` library: the conversation, the meter, what goes wrong."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from runner.ws import duration, histogram


def _serve(ws: ServerConnection) -> None:
    try:
        for message in ws:
            if message == "bye":
                ws.close(4000, "as asked")
            elif message == '{"op":"ping"}':
                ws.send('{"news":1}')
                ws.send('{"op":"pong"}')
            elif message == "binary":
                ws.send(bytes(range(100)))
            else:
                ws.send(message)
    except ConnectionClosed:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(_serve, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def hft(*arguments: str, text: str = "", timeout: float = 30) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runner", "ws", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False)


def test_lines_are_sent_and_answers_printed(url: str) -> None:
    ran = hft(url, "--linger", "0.5", text="one\n\ntwo\n//three\n")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["one", "two", "/three"]


def test_a_binary_message_is_shown_in_hex(url: str) -> None:
    ran = hft(url, "--linger", "0.5", text="binary\n")
    assert ran.stdout.startswith("(100 bytes) 00 01 02 03")
    assert ran.stdout.rstrip().endswith("3f...")


def test_the_servers_close_is_told(url: str) -> None:
    ran = hft(url, text="bye\n")
    assert ran.returncode == 1
    assert "4000 as asked" in ran.stderr


def test_commands(url: str) -> None:
    ran = hft(url, text="/ping\n/nonsense\n/close 3001 enough\n")
    assert ran.returncode == 0, ran.stderr
    assert "round trip" in ran.stderr
    assert "/ping   /close" in ran.stderr


def test_the_meter_measures_and_compares(url: str) -> None:
    ran = hft("--ping", "--count", "20", "--interval", "0.01", "--json", url, url)
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["answered"] for row in rows] == [20, 20]
    assert all(0 < row["min_ns"] <= row["p50_ns"] <= row["p99_ns"] <= row["max_ns"] < 10**9 for row in rows)
    shown = hft("--ping", "--count", "20", "--interval", "0.01", url)
    assert shown.returncode == 0, shown.stderr
    assert "20/20" in shown.stdout
    assert "█" in shown.stdout


def test_the_meter_with_a_message_of_ones_own(url: str) -> None:
    ran = hft(
        "--ping", "--count", "5", "--interval", "0", "--message", '{"op":"ping"}', "--answer", '"pong"', "--json", url
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["answered"] == 5


def test_an_endpoint_that_is_not_there_is_exit_status_1(url: str, closed_port: int) -> None:
    dead = f"ws://127.0.0.1:{closed_port}"
    ran = hft("--ping", "--count", "3", "--interval", "0", "--json", url, dead)
    assert ran.returncode == 1
    good, bad = (json.loads(line) for line in ran.stdout.splitlines())
    assert (good["answered"], bad["answered"]) == (3, 0)
    assert "refused" in bad["error"]
    ran = hft(dead, text="x\n")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://example.com"], "ws"),
        (["ws://a", "ws://b"], "--ping"),
        (["--ping", "--message", "x", "ws://a"], "--answer"),
        (["--header", "nonsense", "ws://a"], "NAME: VALUE"),
    ],
)
def test_wrong_options_are_exit_status_2(arguments: list[str], said: str) -> None:
    ran = hft(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_ctrl_c_stops_the_conversation_cleanly(url: str) -> None:
    command = [sys.executable, "-m", "runner", "ws", url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "hello\n"
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _out, err = process.communicate(timeout=20)
        assert time.monotonic() - begin < 10
        assert process.returncode == 0, err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("ns", "text"), [(7, "7 ns"), (1500, "1.50 µs"), (23_400, "23.4 µs"), (5_000_000, "5.00 ms"), (2e9, "2.00 s")]
)
def test_durations(ns: float, text: str) -> None:
    assert duration(ns) == text


def test_the_histogram_holds_every_round_trip_in_its_place() -> None:
    times = [100, 101, 150, 150, 199, 100_000]
    rows = histogram(times, bars=4)
    assert sum(count for _, count in rows) == len(times)
    assert rows[-1][0] >= 100_000
    assert all(a[0] < b[0] for a, b in itertools.pairwise(rows))
    uniform = histogram(list(range(1000)), bars=10)
    assert [count for _, count in uniform[:-1]] == [uniform[0][1]] * (len(uniform) - 1)
    assert histogram([]) == []
    assert histogram([5]) == [(6, 1)]
