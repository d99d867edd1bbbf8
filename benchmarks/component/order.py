"""template_fill_sign_frame, template_presigned_frame: an order filled in, signed and framed in C."""

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
        sides = turns.measure(program, folder, QUICK_BLOCKS if quick else BLOCKS, folder / "config")
        for number in range(len(sides)):
            check_frame((folder / f"{number}.frame").read_bytes())
    progress(1.0)
    ours, ahead, by_hand = sides
    if name == "template_presigned_frame":
        return samples.Outcome([samples.Comparison(name, ahead, peer) for peer in (ours, by_hand)])
    return samples.Outcome([samples.Comparison(name, ours, by_hand)])
