"""`python -m benchmarks.readme`: puts the figures of benchmarks/results/ into the README, between its markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- latency -->\n", "<!-- /latency -->\n"

# What the README shows, in words that a user knows; the first comparison of each benchmark unless one is named.
ROWS = {
    "tick_to_trade_plain": "transaction on one socket to order on another, `ws://`",
    "tick_to_trade_tls": "the same, `wss://` (TLS 1.3)",
    "hot_path_compute": "the computing in it: transaction bytes in, TLS record out",
}


def microseconds(ns: float) -> str:
    """Three digits are all that a shared machine's figures are worth."""
    return f"{ns / 1000:.2f} µs" if ns < 99_995 else f"{ns / 1000:,.0f} µs"


def table(results: Path = RESULTS) -> str:
    """The README's section, from the results of one run."""
    machine: dict[str, Any] = json.loads((results / "machine.json").read_text())
    lines = [
        "| | p50 | p99 | p99.9 | beside it, in the same run | its p50 | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, words in ROWS.items():
        for i, row in enumerate(json.loads((results / f"{name}.json").read_text())):
            ours = [microseconds(row[key]) for key in ("p50", "p99", "p999")] if i == 0 else ["", "", ""]
            cells = [words if i == 0 else "", *ours, row["peer"], microseconds(row["peer_p50"]), f"{row['ratio']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    where = f"{machine['cores']} virtual cores of an {machine['cpu']}"
    kernel, library = machine["kernel"].split("-")[0], " ".join(machine["openssl"].split()[:2])
    return "\n".join(lines) + (
        f"\n\nMeasured by `./dev bench` on {machine['taken']}: {where}, Linux {kernel}, {library}, loopback, spin.\n"
        "It is a shared machine: a ratio means more than a time, and p99.9 is mostly the neighbours'.\n"
        "[How it is measured, and what is still slow](benchmarks/README.md).\n"
    )


def main() -> None:
    """Rewrites the section."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    main()
