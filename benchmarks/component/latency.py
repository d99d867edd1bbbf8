"""Single calls in C: of hashing, signing and encrypting the latency (latency.c), of small pieces the time (text.c), of
what happens to each transaction (transaction.c)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import native, samples
from benchmarks.component import turns

IPSEC_MB_ROWS = ("hmac_150_latency",)
BLOCKS, QUICK_BLOCKS = 200, 4


def measured(program: Path, name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """Ours beside each of its peers; nothing if the machine has no instructions that ours would use."""
    with tempfile.TemporaryDirectory() as folder:
        sides = turns.measure(program, Path(folder), QUICK_BLOCKS if quick else BLOCKS, name)
    progress(1.0)
    return samples.Outcome([samples.Comparison(name, sides[0], peer) for peer in sides[1:]])


@samples.one_by_one
def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """name: a row of latency.c."""
    outcome = measured(native.build("component/latency.c", "peers/openssl.c", native.IPSEC_MB), name, quick, progress)
    if name in IPSEC_MB_ROWS and not native.has_ipsec_mb():
        outcome.notes.append(native.NO_IPSEC_MB)
    return outcome


@samples.one_by_one
def run_text(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """name: a row of text.c."""
    return measured(native.build("component/text.c"), name, quick, progress)


@samples.one_by_one
def run_transaction(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    """name: a row of transaction.c."""
    return measured(native.build("component/transaction.c"), name, quick, progress)
