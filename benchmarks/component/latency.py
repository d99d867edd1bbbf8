"""Hashing, signing and encrypting, calls chained: beside OpenSSL's ways to do it, and libipsec-mb's."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import native, samples
from benchmarks.component import turns

IPSEC_MB_ROWS = ("hmac_150_latency",)
BLOCKS, QUICK_BLOCKS = 200, 4


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """name: a row of latency.c."""
    program = native.build("component/latency.c", "peers/openssl.c", native.IPSEC_MB)
    with tempfile.TemporaryDirectory() as folder:
        sides = turns.measure(program, Path(folder), QUICK_BLOCKS if quick else BLOCKS, name)
    progress(1.0)
    notes = [native.NO_IPSEC_MB] if name in IPSEC_MB_ROWS and not native.has_ipsec_mb() else []
    if not sides:
        return samples.Outcome([], notes=["this machine has no instructions that ours would use"])
    ours, *peers = sides
    return samples.Outcome([samples.Comparison(name, ours, peer) for peer in peers], notes=notes)
