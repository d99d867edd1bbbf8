"""websocket_1000, websocket_idle_10000: many connections of one client, and what they cost it.

`python -m benchmarks.websocket.crowd` prints the curve over 1 to 10,000 connections (docs/design/websocket-scale.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import native, samples, setting
from benchmarks.e2e.tick_to_trade import Processes, expect
from benchmarks.websocket.crowd_client import CLIENTS, Opened, Ran, Task

OURS = "hftcore, Cython handler, sleep"
PING_S = 10  # of the curve: so long a silence, and then a ping
MOST_RATE = 50_000  # messages a second that the server has no trouble to send, TLS included


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


@dataclass
class Crowd:
    """A client with its connections open, and their server."""

    client: subprocess.Popen[str]
    server: subprocess.Popen[str]
    path: Path
    opened: Opened

    def run(self, seconds: float, rate: int = 0) -> tuple[Ran, samples.Side]:
        """Lets it run; rate: messages a second, in all, for as long."""
        tell(self.client, str(seconds + (0.2 if rate else 0)))
        if rate:
            tell(self.server, f"source {rate} {int(seconds * 1000)}")
            (sent,) = expect(self.server, "sent")
        ran = Ran(**json.loads("".join(expect(self.client, "ran"))))
        if rate and int(sent) != ran.messages:
            raise RuntimeError(f"{sent} messages were sent, and {ran.messages} came")
        return ran, samples.Side("", list(samples.read(self.path)))

    def count(self) -> tuple[int, int]:
        """Connections, and pings since the last time, as the server sees it."""
        tell(self.server, "count")
        connections, pings = map(int, expect(self.server, "counted"))
        return connections, pings


@contextmanager
def crowd(kind: str, connections: int, tls: bool, ping_s: float) -> Iterator[Crowd]:
    client_core, server_core = samples.cores()
    with tempfile.TemporaryDirectory() as temporary, Processes() as processes:
        folder = Path(temporary)
        cert, key = setting.certificate(folder)
        server = processes.start(native.build("websocket/crowd.c", "websocket/session.c"), server_core, cert, key)
        port = int(expect(server, "ports")[tls])
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"
        task = Task(client_core, url, str(cert), str(folder / "stamps"), connections, ping_s)
        client = processes.start(
            sys.executable, "-m", "benchmarks.websocket.crowd_client", kind, json.dumps(asdict(task))
        )
        opened = Opened(**json.loads("".join(expect(client, "opened"))))
        here = Crowd(client, server, folder / "stamps", opened)
        if here.count()[0] != connections:
            raise RuntimeError(f"{kind}: not all of {connections} connections are there")
        yield here


def cpu_each(ran: Ran) -> float:
    """CPU ns for each message."""
    return ran.cpu_s * 1e9 / ran.messages


def run_busy(quick: bool, progress: samples.Progress) -> samples.Outcome:
    """1,000 connections with 100 messages a second each: latency, and CPU time for each message."""
    connections, seconds, blocks = (20, 0.2, 1) if quick else (1000, 2.0, 2)
    latency = {kind: samples.Side(kind) for kind in CLIENTS}
    cpu = {kind: samples.Side(kind) for kind in CLIENTS}
    rows = []
    for block in range(blocks):
        for i, kind in enumerate(CLIENTS):
            with crowd(kind, connections, False, 20) as here:
                ran, came = here.run(seconds, 100 * connections)
            latency[kind].add(came.samples)
            cpu[kind].add([cpu_each(ran)])
            share = f"{100 * ran.cpu_s / seconds:.0f} %"
            rows.append([kind, f"{ran.messages / seconds:,.0f}", f"{cpu_each(ran):,.0f}", share])
            progress((block + (i + 1) / len(CLIENTS)) / blocks)
    title = f"websocket_1000: {connections:,} connections, 100 messages/s each"
    columns = ["client", "messages/s", "CPU ns each", "of one core, with what polling takes"]
    peers = [kind for kind in CLIENTS if kind != OURS]
    found = [samples.Comparison("websocket_1000", latency[OURS], latency[peer]) for peer in peers]
    found += [samples.Comparison("websocket_1000_cpu", cpu[OURS], cpu[peer]) for peer in peers]
    return samples.Outcome(found, [(title, columns, rows)])


def run_idle(quick: bool, progress: samples.Progress) -> samples.Outcome:
    """10,000 connections that only ping: memory of each, and CPU time for each ping."""
    connections, ping_s = (20, 0.2) if quick else (10_000, 4)
    kinds = [kind for kind in CLIENTS if "spin" not in kind]
    memory = {kind: samples.Side(kind) for kind in kinds}
    rows = []
    for i, kind in enumerate(kinds):
        with crowd(kind, connections, False, ping_s) as here:
            here.run(ping_s)
            ran, _ = here.run(2 * ping_s)
            pings = here.count()[1]
        memory[kind].add([here.opened.memory / connections])
        each, share = f"{ran.cpu_s * 1e9 / pings:,.0f}", f"{100 * ran.cpu_s / (2 * ping_s):.1f} %"
        rows.append([kind, f"{here.opened.memory / connections:,.0f}", f"{here.opened.seconds:.1f} s", each, share])
        progress((i + 1) / len(kinds))
    title = f"websocket_idle_10000: {connections:,} connections that ping every {ping_s} s"
    columns = ["client", "bytes each", "opening all", "CPU ns for each ping", "of one core"]
    peers = [kind for kind in kinds if kind != OURS]
    found = [samples.Comparison("websocket_idle_10000", memory[OURS], memory[peer], "B") for peer in peers]
    return samples.Outcome(found, [(title, columns, rows)])


def run(names: Sequence[str], quick: bool, progress: samples.Progress) -> dict[str, samples.Outcome]:
    """websocket_1000 and websocket_idle_10000."""
    return {
        name: {"websocket_1000": run_busy, "websocket_idle_10000": run_idle}[name](quick, progress) for name in names
    }


def curve(kinds: Sequence[str], seconds: float = 4.0) -> Iterator[str]:
    """Lines of a table in Markdown: from one connection to 10,000."""
    yield "| client | connections | bytes each | opening, s | messages/s | CPU ns each | p50, µs | p99, µs | idle CPU |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind in kinds:
        for tls in (False, True):
            for connections in (1, 10, 100, 1000, 10_000):
                with crowd(kind, connections, tls, PING_S) as here:
                    ran, side = here.run(seconds, min(100 * connections, MOST_RATE))
                    idle, _ = here.run(PING_S)
                took = side.summary()
                cells = [
                    f"{kind}, {'wss' if tls else 'ws'}", f"{connections:,}", f"{here.opened.memory / connections:,.0f}",
                    f"{here.opened.seconds:.2f}", f"{ran.messages / seconds:,.0f}", f"{cpu_each(ran):,.0f}",
                    f"{took['p50'] / 1000:,.1f}", f"{took['p99'] / 1000:,.1f}", f"{100 * idle.cpu_s / PING_S:.2f} %",
                ]  # fmt: skip
                yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in curve(sys.argv[1:] or list(CLIENTS)):
        print(line, flush=True)
