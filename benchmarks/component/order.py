"""template_fill_sign_frame: an order filled in, signed and framed in C."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import native, samples, setting
from benchmarks.component import config, turns
from benchmarks.peers.python_order import check_frame
from hftcore.venues.binance import BINANCE

BLOCKS, QUICK_BLOCKS = 200, 4


def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    program = native.build("component/order.c", "common/config.c", "common/play.c", "peers/openssl.c")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        values = config.texts("order", BINANCE.orders["LIMIT"]) | {"secret": setting.CREDENTIALS.secret.decode()}
        (folder / "config").write_text(config.lines(values | config.KNOWN))
        ours, *peers = turns.measure(program, folder, QUICK_BLOCKS if quick else BLOCKS, folder / "config")
        frame = (folder / "frame").read_bytes()
    check_frame(frame)
    progress(1.0)
    return samples.Outcome([samples.Comparison(name, ours, peer) for peer in peers])
