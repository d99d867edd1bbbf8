"""`python -m benchmarks.report [NAMES...]`: runs benchmarks, prints a table, writes benchmarks/results/<name>.json."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import hftcore
from benchmarks import native, targets
from benchmarks.component import batch, hot_path, latency, order, peers, watch
from benchmarks.e2e import tick_to_trade
from benchmarks.micro import run as micro
from benchmarks.micro.rows import ROWS
from benchmarks.samples import Outcome, Side
from benchmarks.samples import Progress as Report
from benchmarks.websocket import crowd, round_trips

RESULTS = Path(__file__).resolve().parent / "results"
INSTRUCTIONS = ("sha_ni", "avx2", "avx512f", "avx512vbmi", "aes", "vaes")  # those that kernels are chosen by


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """run(names, quick, progress) does it; about: one line for --list. together: along with others of the same run."""

    run: Callable[[Sequence[str], bool, Report], dict[str, Outcome]]
    about: str
    together: bool = False


BENCHMARKS = {
    "tick_to_trade_plain": Benchmark(
        tick_to_trade.run, "transaction on the peer's socket to order on the venue's, ws://; beside system calls alone"
    ),
    "tick_to_trade_tls": Benchmark(tick_to_trade.run, "the same over TLS 1.3"),
    "tick_to_trade_tls_cold": Benchmark(tick_to_trade.run, "the same, one order every 100 ms"),
    "hot_path_compute": Benchmark(hot_path.run, "message in, TLS record out, no sockets; beside the same in Python"),
    "hot_path_presigned": Benchmark(
        hot_path.run_presigned, "the same, orders signed ahead; beside signing when needed"
    ),
    "sha256_64_latency": Benchmark(latency.run, "SHA-256 of 64 bytes, calls chained; beside OpenSSL"),
    "hmac_150_latency": Benchmark(latency.run, "HMAC of 150 bytes, calls chained; beside OpenSSL and libipsec-mb"),
    "hmac_150_midstate_latency": Benchmark(latency.run, "the same with the first 128 bytes absorbed beforehand"),
    "hmac_order_250_latency": Benchmark(latency.run, "HMAC of an order of 250 bytes with the first 128 absorbed"),
    "aesgcm_seal_470_latency": Benchmark(latency.run, "AES-128-GCM of a TLS record of 470 bytes; beside OpenSSL"),
    "hex_32": Benchmark(latency.run_text, "a digest as hex; beside plain C"),
    "base64_32": Benchmark(latency.run_text, "a digest as base64; beside OpenSSL"),
    "mask_250": Benchmark(latency.run_text, "a WebSocket frame of 250 bytes masked; beside plain C"),
    "ws_build_200": Benchmark(latency.run_text, "a WebSocket frame of 200 bytes built and masked; beside plain C"),
    "ws_parse_200": Benchmark(latency.run_text, "a WebSocket frame of 200 bytes parsed, its UTF-8 checked"),
    "timestamp_13": Benchmark(latency.run_text, "a time in milliseconds as text; beside snprintf"),
    "btc_parse_match": Benchmark(
        latency.run_transaction, "a transaction parsed, its outputs looked up; beside sha256d"
    ),
    "btc_parse_wtxid": Benchmark(latency.run_transaction, "a transaction parsed, and its wtxid; beside sha256d alone"),
    "sha256d_many_80": Benchmark(batch.run, "1,024 block headers hashed at once, by each kernel; beside OpenSSL"),
    "template_fill_sign_frame": Benchmark(
        order.run, "an order filled in, signed and framed; beside snprintf and OpenSSL", together=True
    ),
    "template_presigned_frame": Benchmark(
        order.run, "an order signed ahead of time taken and framed; beside the former", together=True
    ),
    "ws_rtt_handler": Benchmark(
        round_trips.run, "200 bytes over ws:// to an echo server and back, Handler; beside C and other clients", True
    ),
    "wss_rtt_handler": Benchmark(round_trips.run, "the same over TLS 1.3; beside C with OpenSSL too", together=True),
    "ws_rtt_asyncio": Benchmark(round_trips.run, "ws:// from asyncio", together=True),
    "wss_rtt_asyncio": Benchmark(round_trips.run, "wss:// from asyncio", together=True),
    "ws_rtt_blocking": Benchmark(round_trips.run, "ws:// by calls that wait", together=True),
    "ws_send": Benchmark(round_trips.run, "the call that sends alone, ws://", together=True),
    "wss_send": Benchmark(round_trips.run, "the same, wss://", together=True),
    "websocket_1000": Benchmark(crowd.run, "1,000 connections at 100 messages/s each; beside picows"),
    "websocket_idle_10000": Benchmark(crowd.run, "memory and CPU of 10,000 connections that only ping; beside picows"),
    "peers_follow": Benchmark(peers.run, "CPU of the reactor for 100 peers' announcements; beside one peer's"),
    "peers_flood": Benchmark(peers.run, "inv to getdata for an honest peer while another floods; beside alone"),
    "watch_probe_miss_10m": Benchmark(watch.run, "a script looked up among ten million; beside a dict, a sorted array"),
    **{name: Benchmark(micro.run, row.about, together=True) for name, row in ROWS.items()},
}


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = about.get("flags", "").split()
    return {
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": about.get("model name", platform.processor()),
        "instructions": [flag for flag in INSTRUCTIONS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "libipsec_mb": native.has_ipsec_mb(),
        "hftcore": dataclasses.asdict(hftcore.build_info()),
    }


def figures(side: Side) -> list[str]:
    summary = side.summary()
    small = summary["p50"] < 1000
    return [f"{summary[key]:,.{1 if small else 0}f}" for key in ("p50", "p99", "p999", "max")]


def judged(value: float, aim: float | None, digits: int) -> tuple[str, str]:
    """A figure and what it aims at, as cells: green if it is reached, red if not, plain if none was set."""
    if aim is None:
        return f"{value:,.{digits}f}", ""
    return f"[{'green' if value <= aim else 'red'}]{value:,.{digits}f}[/]", f"{aim:,.{digits}f}"


def compared(name: str, outcome: Outcome) -> Table:
    """Ours, and beneath it its peers."""
    table = Table(title=f"{name}, {outcome.comparisons[0].unit}", title_justify="left")
    for column in ("", "p50", "p99", "p99.9", "max", "ratio", "target"):
        table.add_column(column, justify="right" if column else "left", no_wrap=bool(column))
    shown = None
    for comparison in outcome.comparisons:
        peer = comparison.peer
        if comparison.ours is not shown:
            shown = comparison.ours
            prefix = f"{comparison.name}: " if comparison.name != name else ""
            p50, *others = figures(shown)
            goal = targets.GOALS_NS.get(comparison.name)
            if goal is not None:
                p50, _ = judged(shown.summary()["p50"], goal, 1)
            table.add_row(f"[bold]{prefix}{shown.name}", p50, *others, "", "" if goal is None else f"{goal:.0f} ns")
        ratio = float(str(comparison.record()["ratio"]))
        table.add_row(f"  beside {peer.name}", *figures(peer), *judged(ratio, comparison.target, 3))
    return table


def show(console: Console, name: str, outcome: Outcome) -> None:
    if outcome.comparisons:
        console.print(compared(name, outcome))
    else:
        console.print(f"{name}: this machine has no instructions that ours would use")
    for title, columns, rows in outcome.details:
        detail = Table(title=title, title_justify="left")
        for column in columns:
            detail.add_column(column, justify="left" if column == columns[0] else "right")
        for row in rows:
            detail.add_row(*row)
        console.print(detail)
    for note in outcome.notes:
        console.print(f"{name}: {note}", highlight=False, soft_wrap=True)


def write(folder: Path, name: str, outcome: Outcome) -> None:
    records = [comparison.record() for comparison in outcome.comparisons]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(records, indent=2) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Runs benchmarks, each beside its comparison in the same run, prints a table and writes "
        "benchmarks/results/<name>.json. A ratio below 1 means that ours is faster; only ratios may be compared "
        "between machines or days. Wants two idle cores: close what else is running.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones (see --list); all if none is given")
    parser.add_argument("--quick", action="store_true", help="few iterations: shows that it works, not how fast it is")
    parser.add_argument("--list", action="store_true", help="what there is, and nothing else")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="where the JSON goes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            console.print(f"{name:28}{benchmark.about}", highlight=False)
        return 0
    described = machine()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        waiting = list(options.names or BENCHMARKS)
        while waiting:
            first = BENCHMARKS[waiting[0]]
            names = [name for name in waiting if BENCHMARKS[name].run is first.run] if first.together else waiting[:1]
            waiting = [name for name in waiting if name not in names]
            task = progress.add_task(", ".join(names[:2]) + (" ..." if names[2:] else ""), total=1.0)

            def report(share: float, task: int = task) -> None:
                progress.update(task, completed=share)

            for name, outcome in first.run(names, options.quick, report).items():
                show(console, name, outcome)
                write(options.results, name, outcome)
            progress.remove_task(task)
    (options.results / "machine.json").write_text(json.dumps(described, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
