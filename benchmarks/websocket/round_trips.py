"""ws_rtt_*, wss_rtt_*, ws_send, wss_send: 200 bytes to an echo server on the other core and back, by every client.

The clients take turns, one after the other in short blocks, so that a slow moment of the machine meets all of them; who
waits is blocked on its standard input.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import native, samples, setting
from benchmarks.e2e.tick_to_trade import Processes, expect
from benchmarks.websocket import PAYLOAD
from benchmarks.websocket.client import CLIENTS, Task
from benchmarks.websocket.crowd import tell

FLOOR = {False: "C, busy recv and send", True: "C and OpenSSL, busy recv and send"}
HANDLER = "hftcore, Cython handler, spin"
HANDLER_PYTHON = "hftcore, Python handler, spin"
ASYNCIO = "hftcore, asyncio, spin"
BLOCKING = "hftcore, blocking, spin"
PEERS = [name for name in CLIENTS if not name.startswith("hftcore")]

SKIP = 30  # messages at the start of each turn, while caches fill


@dataclass(frozen=True)
class Row:
    """Ours, and whom it is set beside besides the floor; what: "rtt", or "send" for the call alone."""

    tls: bool
    ours: str
    peers: Sequence[str]
    what: str = "rtt"


ROWS = {
    "ws_rtt_handler": Row(False, HANDLER, [*PEERS, HANDLER_PYTHON]),
    "wss_rtt_handler": Row(True, HANDLER, [*PEERS, HANDLER_PYTHON]),
    "ws_rtt_asyncio": Row(False, ASYNCIO, PEERS),
    "wss_rtt_asyncio": Row(True, ASYNCIO, PEERS),
    "ws_rtt_blocking": Row(False, BLOCKING, PEERS),
    "ws_send": Row(False, HANDLER, [*PEERS, HANDLER_PYTHON], "send"),
    "wss_send": Row(True, HANDLER, [*PEERS, HANDLER_PYTHON], "send"),
}


@dataclass(frozen=True)
class Plan:
    """Turns of each client, and messages in each of them; a quarter as many more are sent with the call timed."""

    turns: int
    count: int


FULL = Plan(turns=400, count=250)  # fewer samples would tell little of p99.9
QUICK = Plan(turns=2, count=40)


def play(tls: bool, names: Sequence[str], plan: Plan, progress: samples.Progress, folder: Path) -> None:
    """One run: the floor and the clients named leave their samples in the folder, by number, the floor's as 0."""
    client_core, server_core = samples.cores()
    cert, key = setting.certificate(folder)
    with Processes() as processes:
        server = processes.start(native.build("websocket/echo.c", "websocket/session.c"), server_core, cert, key)
        port = int(expect(server, "ports")[tls])
        clients = [
            processes.start(native.build("websocket/least.c"), client_core, port, int(tls), folder / "0", PAYLOAD)
        ]
        for i, name in enumerate(names, 1):
            task = Task(client_core, f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/", str(cert), str(folder / str(i)))
            command = sys.executable, "-m", "benchmarks.websocket.client", name, json.dumps(asdict(task))
            clients.append(processes.start(*command))
        for client in clients:
            expect(client, "ready")
        for turn in range(plan.turns):
            for client in clients:
                for kind, count in (("rtt", plan.count), ("send", plan.count // 4)):
                    tell(client, f"{kind} {SKIP} {count}")
                    expect(client, "done")
            progress((turn + 1) / plan.turns)
        for client in clients:
            _, complaint = client.communicate("end\n", timeout=20)
            if client.returncode != 0:
                raise RuntimeError(complaint)


def measure(
    tls: bool, names: Sequence[str], plan: Plan, progress: samples.Progress
) -> dict[str, dict[str, samples.Side]]:
    """Samples by "rtt" and "send", and by client, the floor's among them."""
    with tempfile.TemporaryDirectory() as folder:
        play(tls, names, plan, progress, Path(folder))
        return {
            what: {
                name: samples.Side(name, list(samples.read(Path(folder, f"{i}.{what}"))))
                for i, name in enumerate([FLOOR[tls], *names])
            }
            for what in ("rtt", "send")
        }


def run(names: Sequence[str], quick: bool, progress: samples.Progress) -> dict[str, samples.Outcome]:
    """All rows of ws:// from one run, and all of wss:// from another."""
    outcomes = {}
    transports = sorted({ROWS[name].tls for name in names})
    for i, tls in enumerate(transports):
        rows = {name: ROWS[name] for name in names if ROWS[name].tls == tls}
        wanted = [name for name in CLIENTS if any(name == row.ours or name in row.peers for row in rows.values())]

        def report(share: float, i: int = i) -> None:
            progress((i + share) / len(transports))

        measured = measure(tls, wanted, QUICK if quick else FULL, report)
        for name, row in rows.items():
            sides = measured[row.what]
            ours, peers = sides[row.ours], [sides[peer] for peer in (FLOOR[tls], *row.peers)]
            outcomes[name] = samples.Outcome([samples.Comparison(name, ours, peer) for peer in peers])
    return outcomes
