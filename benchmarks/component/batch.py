"""sha256d_many_80: double SHA-256 of 1,024 block headers at once, by each kernel this machine has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import native, samples
from benchmarks.component import turns

LEVELS = ("avx512", "avx2", "shani", "portable")
BATCH = 1024
CURVE = (1, 2, 4, 8, 16, 21, 32, 64, BATCH)
BLOCKS, CURVE_BLOCKS, QUICK_BLOCKS = 50, 6, 1


def medians(sides: list[samples.Side]) -> dict[str, str]:
    return {side.name: f"{side.summary()['p50']:,.1f}" for side in sides}


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    program = native.build("component/batch.c", "peers/openssl.c", native.IPSEC_MB)
    columns: dict[int, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in CURVE:
            blocks = QUICK_BLOCKS if quick else CURVE_BLOCKS if count != BATCH else BLOCKS
            sides = turns.measure(program, Path(folder), blocks, count)
            columns[count] = medians(sides)
            progress(len(columns) / len(CURVE))
    ours = [side for side in sides if side.name in LEVELS]
    lowlevel, *others = [side for side in sides if side.name not in LEVELS]
    rows = [[side.name, *(columns[count][side.name] for count in CURVE)] for side in sides]
    comparisons = [samples.Comparison(name, ours[0], peer) for peer in (lowlevel, *others)]
    comparisons += [samples.Comparison(f"{name}_{side.name}", side, lowlevel) for side in ours[1:]]
    notes = [] if native.has_ipsec_mb() else [native.NO_IPSEC_MB]
    detail = (f"{name}: ns a header in batches of this many, p50", ["", *map(str, CURVE)], rows)
    for side in ours:
        side.name = f"libhft, {side.name}"
    return samples.Outcome(comparisons, [detail], notes)
