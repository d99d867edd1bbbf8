"""tick_to_trade: `tx` message written to the peer's socket -> whole order read from the venue's socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import buildconf
from benchmarks import native, samples, setting

WINDOW_MS = (
    1100  # the risk gate allows 1024 orders a second at most: two blocks, and it is not loosened for a benchmark
)


@dataclass(frozen=True)
class Plan:
    """Blocks of block_len iterations for the engine and for the floor in turn; gap_ns of silence before each one."""

    blocks: int
    block_len: int
    skip: int
    gap_ns: int


WARM = Plan(blocks=40, block_len=500, skip=10, gap_ns=20_000)
COLD = Plan(blocks=10, block_len=20, skip=0, gap_ns=100_000_000)
QUICK = Plan(blocks=2, block_len=50, skip=2, gap_ns=20_000)
QUICK_COLD = Plan(blocks=2, block_len=3, skip=0, gap_ns=20_000_000)


class Processes:
    """The three processes of a run; leaving the block ends those that are left."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *command: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=buildconf.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._running.append(process)
        return process

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def expect(process: subprocess.Popen[str], word: str) -> list[str]:
    """The words after `word` on the next line, or an error that quotes what the process complained about."""
    assert process.stdout is not None
    line = process.stdout.readline()
    words = line.split()
    if not words or words[0] != word:
        if process.poll() is None:
            process.terminate()
        raise RuntimeError(f"{process.args}: {word!r} expected, got {line!r}\n{process.communicate()[1]}")
    return words[1:]


def play(tls: bool, plan: Plan, progress: samples.Progress, folder: Path) -> tuple[list[list[float]], dict[str, Any]]:
    """One run; returns the samples of engine and floor, and what the engine says of itself."""
    engine_core, harness_core = samples.cores()
    cert, key = setting.certificate(folder)
    outputs = [folder / "engine", folder / "floor"]
    with Processes() as processes:
        harness = processes.start(
            native.build("e2e/harness.c", "common/play.c"), "tls" if tls else "plain", harness_core,
            setting.SCRIPT.hex(), setting.CREDENTIALS.secret.decode(), cert, key,
            plan.blocks, plan.block_len, plan.skip, plan.gap_ns, WINDOW_MS, *outputs,
        )  # fmt: skip
        peer_port, venue_port, floor_port = map(int, expect(harness, "ports"))
        floor = processes.start(native.build("e2e/floor.c"), engine_core, floor_port)
        config = {
            "cpu": engine_core, "backend": os.environ.get("HFTCORE_BENCH_BACKEND", "auto"), "peer_port": peer_port,
            "url": f"{'wss' if tls else 'ws'}://127.0.0.1:{venue_port}/ws-api/v3",
            "ca_file": str(cert) if tls else None,
        }  # fmt: skip
        engine = processes.start(sys.executable, "-m", "benchmarks.e2e.engine_process", json.dumps(config))
        expect(harness, "ready")
        expect(engine, "ready")
        assert harness.stdin is not None
        harness.stdin.write(f"{engine.pid} {floor.pid}\n")
        harness.stdin.flush()
        for block in range(plan.blocks):
            expect(harness, "block")
            progress((block + 1) / plan.blocks)
        expect(harness, "done")
        engine.send_signal(signal.SIGTERM)
        said, complaint = engine.communicate(timeout=20)
        if engine.returncode != 0:
            raise RuntimeError(complaint)
    return [list(samples.read(path)) for path in outputs], json.loads(said)


def stages(title: str, said: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """The engine's own stamps as a table."""
    columns = ["stage", "p50", "p90", "p99", "p99.9", "max"]
    keys = ("p50", "p90", "p99", "p999", "max")
    rows = [[name, *(f"{value[key]:,}" for key in keys)] for name, value in said["latency"].items()]
    return title, columns, rows


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """name: tick_to_trade_plain, tick_to_trade_tls or tick_to_trade_tls_cold."""
    tls, cold = "tls" in name, "cold" in name
    plan = (QUICK_COLD if cold else QUICK) if quick else (COLD if cold else WARM)
    with tempfile.TemporaryDirectory() as folder:
        measured, said = play(tls, plan, progress, Path(folder))
    stats = said["stats"]
    wrong = stats["orders_refused"] or stats["orders_filled"] != stats["orders_sent"] or stats["reconnects"]
    if wrong:
        raise RuntimeError(f"not every order was sent and filled: {stats}")
    ours = samples.Side(f"engine, {said['backend']}", measured[0])
    peer = samples.Side("raw C busy-poll ping-pong, same sizes", measured[1])
    return samples.Outcome(
        [samples.Comparison(name, ours, peer)],
        [stages(f"{name}: the engine's own stamps, ns ({said['backend']})", said)],
    )
