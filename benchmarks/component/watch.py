"""watch_probe_miss_10m: is a script among ten million? It hardly ever is."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import native, samples
from benchmarks.component import turns

SIZES = (10_000, 338_000, 10_000_000)
QUICK_SIZES = (1_000, 10_000)
BLOCKS, QUICK_BLOCKS = 60, 2
PROBES = 4096  # in a sample, as in watch.c
POOL = 1 << 20


def scripts(n: int) -> Iterator[bytes]:
    """P2WPKH scripts with random programs."""
    for _ in range(-(-n // PROBES)):
        data = os.urandom(20 * PROBES)
        for i in range(0, 20 * PROBES, 20):
            yield b"\x00\x14" + data[i : i + 20]


def probe(known: dict[bytes, int], pool: list[bytes], n_samples: int) -> Iterator[float]:
    """Samples of looking up what is not there, the loop included, in ns."""
    for _ in range(n_samples):
        first = random.randrange(0, len(pool) - PROBES + 1)
        probes = pool[first : first + PROBES]
        before = time.perf_counter_ns()
        for script in probes:
            if script in known:
                raise AssertionError("a random script is watched")
        yield (time.perf_counter_ns() - before) / PROBES


def measure(size: int, blocks: int, pool: list[bytes]) -> list[samples.Side]:
    """All sides for a table of that size, ours first; the dict has its turns before and after the others."""
    program = native.build("component/watch.c")
    in_dict = samples.Side("dict of bytes, in Python")
    known = dict.fromkeys(scripts(size), 0)
    in_dict.add(probe(known, pool, 2 * blocks))
    with tempfile.TemporaryDirectory() as folder:
        sides = turns.measure(program, Path(folder), blocks, size)
    in_dict.add(probe(known, pool, 2 * blocks))
    ours, in_array, *others = sides
    return [ours, in_array, in_dict, *others]


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    sizes = QUICK_SIZES if quick else SIZES
    pool = list(scripts(PROBES if quick else POOL))
    columns = []
    for size in sizes:
        sides = measure(size, QUICK_BLOCKS if quick else BLOCKS, pool)
        columns.append([f"{side.summary()['p50']:,.1f}" for side in sides])
        progress(len(columns) / len(sizes))
    ours, *peers = sides
    rows = [[side.name, *figures] for side, *figures in zip(sides, *columns, strict=True)]
    detail = (f"{name}: ns a script, p50, by the number of scripts", ["", *(f"{size:,}" for size in sizes)], rows)
    ours.name = "libhft, 32 scripts at a time"
    return samples.Outcome([samples.Comparison(name, ours, peer) for peer in peers[:2]], [detail])
