"""primitives: what the hot path is made of, beside OpenSSL at its best (contexts and algorithms fetched beforehand)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import native, samples
from benchmarks.component.hot_path import execute

PEERS = {
    "sha256_64": "OpenSSL EVP_MD_CTX reused",
    "hmac_150": "OpenSSL EVP_MAC_CTX reused",
    "hmac_order_250": "OpenSSL EVP_MAC_CTX reused, whole text",
    "aesgcm_seal_470": "OpenSSL EVP_CIPHER_CTX reused",
}
BLOCKS, QUICK_BLOCKS = 100, 4


def run(name: str, quick: bool, progress: samples.Progress) -> samples.Outcome:
    comparisons = []
    with tempfile.TemporaryDirectory() as folder:
        execute(native.build("component/primitives.c"), samples.cores()[0], folder, QUICK_BLOCKS if quick else BLOCKS)
        progress(1.0)
        for row, peer in PEERS.items():
            if not Path(folder, f"{row}.ours").exists():
                continue  # there is no portable AES-GCM: the machine lacks AES-NI
            sides = [samples.Side("libhft"), samples.Side(peer)]
            for side, suffix in zip(sides, ("ours", "peer"), strict=True):
                side.add(tenths / 10 for tenths in samples.read(Path(folder, f"{row}.{suffix}")))
            comparisons.append(samples.Comparison(row, *sides))
    return samples.Outcome(comparisons)
