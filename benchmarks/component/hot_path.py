"""hot_path_compute: bytes of a `tx` message in, TLS record out, without sockets; beside the same in Python.

hot_path_presigned: the same with orders signed ahead of time, beside signing them when they are needed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import native, samples, setting
from benchmarks.component import config
from benchmarks.component.turns import execute
from hftcore.venues.binance import BINANCE

ROUNDS = 8
ORDERS, PYTHON_ORDERS = 16_000, 2_000  # in each round
QUICK_ORDERS, QUICK_PYTHON_ORDERS = 1_280, 200
OPENSSL_CONF = """\
openssl_conf = benchmark
[benchmark]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""


def configuration(cert: Path, key: Path, presign_window_ms: int) -> str:
    """What hot_path.c needs of the venue's description."""
    assert BINANCE.user_stream is not None
    templates = {"order": BINANCE.orders["LIMIT"], "query": BINANCE.order_query, "time": BINANCE.server_time}
    lines = {"cert": cert, "key": key, "secret": setting.CREDENTIALS.secret.decode(), "script": setting.SCRIPT.hex()}
    lines |= {"watched": setting.WATCHED, "order_event": BINANCE.order_event, "shutdown_event": BINANCE.shutdown_event}
    lines |= {"presign_window_ms": presign_window_ms}
    for name, template in (*templates.items(), ("user", BINANCE.user_stream)):
        lines |= config.texts(name, template)
    lines |= {name: getattr(BINANCE.replies, name) for name in BINANCE.replies.__dataclass_fields__}
    return config.lines(lines)


@dataclass(frozen=True)
class Bench:
    """The program, the core it runs on, and a folder with its files for as long as the block lasts."""

    folder: Path
    cert: Path
    key: Path
    program: Path
    core: int

    def engine(self, orders: int, presign_window_ms: int = 0) -> tuple[array[int], str]:
        """The samples of a run, and the engine's stages."""
        (self.folder / "config").write_text(configuration(self.cert, self.key, presign_window_ms))
        stages = execute(self.program, self.core, self.folder / "config", self.folder / "ours", orders)
        return samples.read(self.folder / "ours"), stages


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    program = native.build("component/hot_path.c", "common/config.c", "common/play.c")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        yield Bench(folder, *setting.certificate(folder), program, samples.cores()[0])


def stages_table(name: str, stages: str) -> tuple[str, list[str], list[list[str]]]:
    columns = ["stage", "p50", "p90", "p99", "p99.9", "max"]
    rows = [[words[0], *(f"{int(word):,}" for word in words[1:])] for words in map(str.split, stages.splitlines())]
    return f"{name}: the engine's own stamps in the last round, ns", columns, rows


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    ours = samples.Side("engine on a ring of memory")
    peers = {
        "idiomatic.whole": samples.Side("idiomatic Python, the same job"),
        "careful.whole": samples.Side("careful Python, the same job"),
        "idiomatic.part": samples.Side("idiomatic Python, only signal to frame"),
        "careful.part": samples.Side("careful Python, only signal to frame"),
    }
    rounds = 1 if quick else ROUNDS
    orders, python_orders = (QUICK_ORDERS, QUICK_PYTHON_ORDERS) if quick else (ORDERS, PYTHON_ORDERS)
    stages = ""
    with bench() as here:
        openssl_conf = here.folder / "openssl.cnf"
        openssl_conf.write_text(OPENSSL_CONF)
        environment = os.environ | {"OPENSSL_CONF": str(openssl_conf)}
        python = [sys.executable, "-m", "benchmarks.peers.python_path", here.core, here.cert, here.key]
        for number in range(rounds):
            taken, stages = here.engine(orders)
            ours.add(taken)
            cipher = execute(*python, python_orders, here.folder, env=environment)
            if "TLS_AES_128_GCM_SHA256 TLSv1.3" not in cipher:
                raise RuntimeError(f"Python negotiated {cipher}")
            for label, side in peers.items():
                side.add(samples.read(here.folder / label))
            progress((number + 1) / rounds)
    comparisons = [samples.Comparison(name, ours, side) for side in peers.values()]
    return samples.Outcome(comparisons, [stages_table(name, stages)])


@samples.one_by_one
def run_presigned(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    ahead, when_needed = samples.Side("orders signed ahead"), samples.Side("orders signed when needed")
    rounds = 1 if quick else ROUNDS
    orders = QUICK_ORDERS if quick else ORDERS
    stages = ""
    with bench() as here:
        for number in range(rounds):
            when_needed.add(here.engine(orders)[0])
            taken, stages = here.engine(orders, BINANCE.presign_window_ms)
            ahead.add(taken)
            progress((number + 1) / rounds)
    return samples.Outcome([samples.Comparison(name, ahead, when_needed)], [stages_table(name, stages)])
