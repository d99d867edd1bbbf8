"""`python -m benchmarks.readme`: puts the figures of benchmarks/results/ where they are told, between markers.

The README has those of the whole path, benchmarks/README.md those of hashes, signatures and orders with targets,
docs/design/orders.md what it saves to sign orders ahead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import targets

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

# What benchmarks/README.md shows, with all comparisons; of these only the first one and those with a target.
SHORT = ("ws_rtt_asyncio", "wss_rtt_asyncio", "ws_rtt_blocking", "ws_send", "wss_send")
PIECES = (
    "ws_rtt_handler",
    "wss_rtt_handler",
    "ws_rtt_asyncio",
    "wss_rtt_asyncio",
    "ws_rtt_blocking",
    "ws_send",
    "wss_send",
    "btc_parse_match",
    "btc_parse_wtxid",
    "btc_parse_py",
    "hmac_150_latency",
    "hmac_150_midstate_latency",
    "sha256d_many_80",
    "template_fill_sign_frame",
    "template_presigned_frame",
    "hot_path_presigned",
    "sha256_py_64",
    "hmac_py_150",
    "hmac_midstate_py_150",
    "sha256d_many_py_80",
    "hmac_many_py_150",
    "template_render_py",
    "template_frame_py",
)


def microseconds(ns: float) -> str:
    """Three digits are all that a shared machine's figures are worth."""
    return f"{ns / 1000:.2f} µs" if ns < 99_995 else f"{ns / 1000:,.0f} µs"


def table(results: Path = RESULTS) -> str:
    """The README's section, from the results of one run."""
    machine: dict[str, Any] = json.loads((results / "machine.json").read_text())
    lines = [
        "| | p50 | p99 | p99.9 | beside it, in the same run | its p50 | its p99.9 | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, words in ROWS.items():
        for i, row in enumerate(json.loads((results / f"{name}.json").read_text())):
            ours = [microseconds(row[key]) for key in ("p50", "p99", "p999")] if i == 0 else ["", "", ""]
            peer = [row["peer"], microseconds(row["peer_p50"]), microseconds(row["peer_p999"]), f"{row['ratio']:.2f}"]
            cells = [words if i == 0 else "", *ours, *peer]
            lines.append(f"| {' | '.join(cells)} |")
    where = f"{machine['cores']} virtual cores of an {machine['cpu']}"
    kernel, library = machine["kernel"].split("-")[0], " ".join(machine["openssl"].split()[:2])
    return "\n".join(lines) + (
        f"\n\nMeasured by `./dev bench` on {machine['taken']}: {where}, Linux {kernel}, {library}, loopback, spin.\n"
        "It is a shared machine: a ratio means more than a time, and p99.9 is mostly the neighbours'.\n"
        "[How it is measured, and what is still slow](benchmarks/README.md).\n"
    )


def aimed(value: float, aim: float | None, digits: int) -> str:
    """A figure, and what it aims at: in bold what falls short."""
    if aim is None:
        return f"{value:,.{digits}f}"
    mark = "" if value <= aim else "**"
    return f"{mark}{value:,.{digits}f}{mark} (≤ {aim:.{digits}f})"


def pieces(results: Path = RESULTS) -> str:
    """The section of benchmarks/README.md, from the results of the same run."""
    lines = ["| row | ours, ns | beside it | its ns | ratio |", "|---|---|---|---|---|"]
    for name in PIECES:
        shown = None
        for row in json.loads((results / f"{name}.json").read_text()):
            if name in SHORT and row["name"] == shown and row["peer"] not in targets.RATIOS.get(name, {}):
                continue
            ours = "" if row["name"] == shown else aimed(row["p50"], targets.GOALS_NS.get(row["name"]), 0)
            ratio = aimed(row["ratio"], targets.RATIOS.get(row["name"], {}).get(row["peer"]), 3)
            first = "" if row["name"] == shown else f"`{row['name']}`"
            lines.append(f"| {first} | {ours} | {row['peer']} | {row['peer_p50']:,.0f} | {ratio} |")
            shown = row["name"]
    return "\n".join(lines) + "\n"


def presigned(results: Path = RESULTS) -> str:
    """The paragraph of docs/design/orders.md, from the results of the same run."""
    (path,) = json.loads((results / "hot_path_presigned.json").read_text())
    frame, *_ = json.loads((results / "template_presigned_frame.json").read_text())
    return (
        f"It takes {path['peer_p50'] - path['p50']:.0f} of {path['peer_p50']:.0f} ns off the way from a transaction's "
        f"bytes to the TLS record. The frame\nalone is ready after {frame['p50']:.0f} instead of "
        f"{frame['peer_p50']:.0f} ns (p50; `./dev bench hot_path_presigned template_presigned_frame`).\n"
    )


SECTIONS = {
    README: table,
    ROOT / "benchmarks" / "README.md": pieces,
    ROOT / "docs" / "design" / "orders.md": presigned,
}


def main() -> None:
    """Rewrites all sections."""
    for path, section in SECTIONS.items():
        text = path.read_text()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        path.write_text(before + BEGIN + section() + END + after)


if __name__ == "__main__":
    main()
