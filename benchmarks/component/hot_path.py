"""hot_path_compute: bytes of a `tx` message in, TLS record out, without sockets; beside the same in Python."""

from __future__ import annotations

import os
import sys
import tempfile
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


def configuration(cert: Path, key: Path) -> str:
    """What hot_path.c needs of the venue's description."""
    assert BINANCE.user_stream is not None
    templates = {"order": BINANCE.orders["LIMIT"], "query": BINANCE.order_query, "time": BINANCE.server_time}
    lines = {"cert": cert, "key": key, "secret": setting.CREDENTIALS.secret.decode(), "script": setting.SCRIPT.hex()}
    lines |= {"watched": setting.WATCHED, "order_event": BINANCE.order_event, "shutdown_event": BINANCE.shutdown_event}
    for name, template in (*templates.items(), ("user", BINANCE.user_stream)):
        lines |= config.texts(name, template)
    lines |= {name: getattr(BINANCE.replies, name) for name in BINANCE.replies.__dataclass_fields__}
    return config.lines(lines)


def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    ours = samples.Side("engine on a ring of memory")
    peers = {
        "idiomatic.whole": samples.Side("idiomatic Python, the same job"),
        "careful.whole": samples.Side("careful Python, the same job"),
        "idiomatic.part": samples.Side("idiomatic Python, only signal to frame"),
        "careful.part": samples.Side("careful Python, only signal to frame"),
    }
    program = native.build("component/hot_path.c", "common/config.c", "common/play.c")
    rounds = 1 if quick else ROUNDS
    core = samples.cores()[0]
    stages = ""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cert, key = setting.certificate(folder)
        (folder / "config").write_text(configuration(cert, key))
        (folder / "openssl.cnf").write_text(OPENSSL_CONF)
        environment = os.environ | {"OPENSSL_CONF": str(folder / "openssl.cnf")}
        python = [sys.executable, "-m", "benchmarks.peers.python_path", core, cert, key]
        for number in range(rounds):
            stages = execute(program, core, folder / "config", folder / "ours", QUICK_ORDERS if quick else ORDERS)
            ours.add(samples.read(folder / "ours"))
            count = QUICK_PYTHON_ORDERS if quick else PYTHON_ORDERS
            cipher = execute(*python, count, folder, env=environment)
            if "TLS_AES_128_GCM_SHA256 TLSv1.3" not in cipher:
                raise RuntimeError(f"Python negotiated {cipher}")
            for label, side in peers.items():
                side.add(samples.read(folder / label))
            progress((number + 1) / rounds)
    columns = ["stage", "p50", "p90", "p99", "p99.9", "max"]
    rows = [[words[0], *(f"{int(word):,}" for word in words[1:])] for words in map(str.split, stages.splitlines())]
    return samples.Outcome(
        [samples.Comparison(name, ours, side) for side in peers.values()],
        [("hot_path_compute: the engine's own stamps in the last round, ns", columns, rows)],
    )
