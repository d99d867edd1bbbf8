"""template_fill_sign_frame, template_presigned_frame: an order filled in, signed and framed in C."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import native, samples, setting
from benchmarks.component import config, turns
from benchmarks.peers.python_order import check_frame
from hftcore.venues.binance import BINANCE

BLOCKS, QUICK_BLOCKS = 200, 4


def run(names: Sequence[str], quick: bool, progress: samples.Progress) -> dict[str, samples.Outcome]:
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
    comparisons = {
        "template_fill_sign_frame": [(ours, by_hand)],
        "template_presigned_frame": [(ahead, ours), (ahead, by_hand)],
    }
    return {name: samples.Outcome([samples.Comparison(name, *pair) for pair in comparisons[name]]) for name in names}
