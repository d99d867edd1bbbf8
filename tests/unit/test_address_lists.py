"""Lists of addresses: every format, every way to be wrong, and no line without a trace."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from hftcore.address_lists import Conflict, Fault, ListReader, Summary, load_table, read_table
from hftcore.addresses import decode_address, encode_address
from hftcore.errors import ConfigError
from hftcore.watch import WatchEntry, WatchTable

A = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
B = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
C = "3P14159f73E4gFr7JterCCQh9QjiTjiZrG"
D = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"


class Reading:
    """What a ListReader made of some files."""

    def __init__(self, *paths: Path, network: str = "mainnet") -> None:
        self.table = WatchTable()
        self.faults: list[Fault] = []
        self.conflicts: list[Conflict] = []
        self.progress: list[int] = []
        reader = ListReader(
            self.table,
            network,
            on_fault=self.faults.append,
            on_conflict=self.conflicts.append,
            progress=self.progress.append,
        )
        for path in paths:
            reader.read(path)
        self.summary = reader.summary
        counted = self.summary.added + self.summary.repeated + self.summary.conflicts + self.summary.faults
        assert counted + self.summary.left_out.total() == self.summary.entries
        assert len(self.faults) == self.summary.faults
        assert len(self.conflicts) == self.summary.conflicts
        assert len(self.table) <= self.summary.entries
        assert self.progress == sorted(self.progress)
        assert self.progress[-1] == sum(path.stat().st_size for path in paths)

    def entry(self, address: str) -> WatchEntry | None:
        return self.table.lookup(decode_address(address))

    def wrong(self) -> list[tuple[int, str]]:
        return [(fault.line, fault.reason) for fault in self.faults]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ---- CSV ----


def test_csv_with_all_columns(tmp_path: Path) -> None:
    key = "21" + "02" * 33 + "ac"
    text = f"priority,Label,address,script,source,x\n3,kraken,{A},,web,1\n,okx,{B},ignored,,1\n-1,miner,,{key},,1\n"
    reading = Reading(write(tmp_path / "list.csv", text))
    assert reading.entry(A) == WatchEntry("kraken", "web", 3)
    assert reading.entry(B) == WatchEntry("okx", "list.csv", 0)
    assert reading.table.lookup(bytes.fromhex(key)) == WatchEntry("miner", "list.csv", -1)
    assert reading.summary == Summary(entries=3, added=3)


def test_csv_reports_each_line(tmp_path: Path) -> None:
    lines = [
        b"address,label,priority,script",
        f"{A[:-1]}b,a,,".encode(),
        b",a,,nothex",
        f"{A},a,1.5,".encode(),
        f"{A},a,4294967296,".encode(),
        b"\xff\xfe,a,,",
        f"{A},\xe4".encode("latin-1") + b",,",
        f"{B},good,,".encode(),
        b",a,,",
        b"short",
    ]
    reading = Reading(write(tmp_path / "list.csv", b"\n".join(lines)))
    words = ["checksum", "script: not hex", "whole number", "32 bits", "UTF-8", "UTF-8", "empty", "1 fields"]
    assert [line for line, _ in reading.wrong()] == [2, 3, 4, 5, 6, 7, 9, 10]
    for (_, reason), word in zip(reading.wrong(), words, strict=True):
        assert word in reason
    assert len(reading.table) == 1
    assert str(reading.faults[0]).startswith(f"{tmp_path}/list.csv:2: address checksum wrong")


# ---- plain text ----


def test_text(tmp_path: Path) -> None:
    text = f"# known\n{A}\tBinance cold wallet \r\n\n  {B}\n{C} # 1\nwrong here\n#{D} x\n"
    reading = Reading(write(tmp_path / "kraken.txt", text))
    assert reading.entry(A) == WatchEntry("Binance cold wallet", "kraken.txt", 0)
    assert reading.entry(B) == WatchEntry("kraken", "kraken.txt", 0)
    assert reading.entry(C) == WatchEntry("# 1", "kraken.txt", 0)
    assert reading.entry(D) is None
    assert [line for line, _ in reading.wrong()] == [6]


# ---- JSON ----


def test_json_list(tmp_path: Path) -> None:
    text = json.dumps(
        [
            {"address": A, "exchange": "kraken", "priority": 7, "source": "x"},
            {"Address": B, "label": "okx", "more": [1, {"a": None}], "flag": True},
            ["no object"],
            {"label": "no address"},
        ],
        indent=1,
    )
    reading = Reading(write(tmp_path / "list.json", text))
    assert reading.entry(A) == WatchEntry("kraken", "x", 7)
    assert reading.entry(B) == WatchEntry("okx", "list.json", 0)
    assert [line for line, _ in reading.wrong()] == [19, 22]
    assert "an object is expected" in reading.wrong()[0][1]


def test_json_objects(tmp_path: Path) -> None:
    text = f'{{"kraken": ["{A}",\n"{B}", 5,\n[]], "{C}":\n"okx", "x": {{}}, "y": [],\n"{D}": 7}}'
    reading = Reading(write(tmp_path / "list.json", text))
    assert reading.entry(A) == reading.entry(B) == WatchEntry("kraken", "list.json", 0)
    assert reading.entry(C) == WatchEntry("okx", "list.json", 0)
    assert [line for line, _ in reading.wrong()] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("7", 1),
        ("[", 1),
        ("[1 2]", 1),
        ("[\n]\n}", 3),
        ('{"a"}', 1),
        ('{"a":[\n}', 2),
        ('[\n{"a":}]', 2),
        ("[" * 100_000, 1),
        ('{"a":' * 100_000, 1),
        ("{7: 8}", 1),
    ],
)
def test_json_that_is_none(tmp_path: Path, text: str, line: int) -> None:
    reading = Reading(write(tmp_path / "list.json", text))
    assert "not JSON" in reading.faults[-1].reason
    assert reading.faults[-1].line == line
    assert len(reading.table) == 0


def test_json_lines(tmp_path: Path) -> None:
    text = f'{{"address":"{A}","label":"a"}}\n\nnot json\n"text"\n{{"address":"{B}","exchange":"b","priority":-2}}'
    reading = Reading(write(tmp_path / "list.jsonl", text + "\n" + "[" * 100_000))
    assert reading.entry(A) == WatchEntry("a", "list.jsonl", 0)
    assert reading.entry(B) == WatchEntry("b", "list.jsonl", -2)
    assert [line for line, _ in reading.wrong()] == [3, 4, 6]


# ---- TagPacks ----

PACK = f"""---
title: Some exchanges
creator: &who Somebody
source: https://example.com/list
currency: BTC
confidence: web_crawl
lastmod: 2021-04-21
tags:
- address: {A}
  label: kraken
- address: {B}
  label: *who
  source: https://example.com/other
  concepts:
  - exchange
  - {{a: [b]}}
- address: 0x742d35Cc6634C0532925a3b844Bc454e4438f44e
  label: somebody
  currency: ETH
- address: TJRyWwFs9wTFGZg3JbrVriFbNfCug5tDeC
  label: somebody
  network: trx
- tx_hash: 04d92601677d62a985310b61a301e74870fa942c8be0648e16b1db23b996a8cd
  label: a theft
- address: bc1qnonsense
  label: typo
- just text
- address: {C}
  priority: 4
  label: ~
- {{address: "{D}", label: 'yes', priority: 9}}
description: [what, "follows"]
"""


def test_a_tagpack(tmp_path: Path) -> None:
    reading = Reading(write(tmp_path / "pack.yaml", PACK))
    assert reading.entry(A) == WatchEntry("kraken", "https://example.com/list", 0)
    assert reading.entry(B) == WatchEntry("Somebody", "https://example.com/other", 0)
    assert reading.entry(D) == WatchEntry("yes", "https://example.com/list", 9)
    assert reading.summary.left_out == {"ETH": 1, "TRX": 1, "transactions": 1}
    assert [line for line, _ in reading.wrong()] == [25, 27, 28]


def test_a_tagpack_whose_header_stands_behind_or_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "2021" / "01").mkdir(parents=True)
    write(tmp_path / "header.yaml", "label: BadHack\nsource: https://example.com\ncurrency: BTC\n")
    included = f"header: !include header.yaml\ntags:\n- address: {A}\n"
    behind = f"tags:\n- address: {B}\nheader:\n  label: late\nsource: web\n"
    reading = Reading(
        write(tmp_path / "2021" / "01" / "a.yaml", included),
        write(tmp_path / "b.yml", behind),
        write(tmp_path / "c.yaml", included.replace("header.yaml", "none.yaml")),
    )
    assert reading.entry(A) == WatchEntry("BadHack", "https://example.com", 0)
    assert reading.entry(B) == WatchEntry("late", "web", 0)
    assert [(Path(fault.path).name, fault.line) for fault in reading.faults] == [("c.yaml", 1)]
    assert "none.yaml is neither" in reading.faults[0].reason


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("- a\n- b\n", 1),
        ("tags:\n- {address: [\n", 3),
        ("a: b\n\tc: d\n", 2),
        ("tags: &a [*a, *b]\n", 1),
        (b"tags:\n- address: \xff\xfe\n", 1),
        ("a: \x00", 1),
    ],
)
def test_yaml_that_is_none(tmp_path: Path, text: str | bytes, line: int) -> None:
    reading = Reading(write(tmp_path / "pack.yaml", text))
    assert reading.faults
    assert reading.faults[-1].line == line
    assert len(reading.table) == 0


def test_a_tagpack_cut_off_anywhere_is_told(tmp_path: Path) -> None:
    """Never an exception; what was read before the cut counts."""
    for end in range(0, len(PACK), 7):
        Reading(write(tmp_path / "pack.yaml", PACK[:end]))


# ---- when they disagree ----


def test_lists_that_disagree(tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", f"address,label,priority\n{A},a,\n{B},b,5\n{A},z,\n{C},c,\n{C},c,\n")
    second = write(tmp_path / "second.csv", f"address,label,priority\n{A},x,1\n{B},y,4\n{C},c,3\n{B.upper()},b,5\n")
    reading = Reading(first, second)
    assert reading.entry(A) == WatchEntry("x", "second.csv", 1)
    assert reading.entry(B) == WatchEntry("b", "first.csv", 5)
    assert reading.entry(C) == WatchEntry("c", "second.csv", 3)
    assert [(Path(c.path).name, c.line, c.address) for c in reading.conflicts] == [
        ("first.csv", 4, A),
        ("second.csv", 2, A),
        ("second.csv", 3, B),
    ]
    kept, lost = reading.conflicts[1].kept, reading.conflicts[1].lost
    assert (kept, lost) == (WatchEntry("x", "second.csv", 1), WatchEntry("a", "first.csv", 0))
    assert str(reading.conflicts[1]) == (
        f"{second}:2: {A} is 'x' (second.csv, priority 1); that it is 'a' (first.csv) does not count"
    )
    assert reading.summary == Summary(entries=9, added=3, repeated=3, conflicts=3)


def test_the_rule_against_a_model(tmp_path: Path) -> None:
    """Random lists: what the table says is the entry that a sort by the documented rule puts first."""
    random_ = random.Random(3)
    scripts = [b"\x00\x14" + random_.randbytes(20) for _ in range(40)]
    rows = [
        (encode_address(random_.choice(scripts)), f"owner {random_.randrange(5)}", random_.randrange(-2, 3), part)
        for part in range(3)
        for _ in range(200)
    ]
    paths = []
    for part in range(3):
        paths.append(tmp_path / f"{part}.csv")
        with paths[-1].open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("address", "label", "priority"))
            writer.writerows(row[:3] for row in rows if row[3] == part)
    reading = Reading(*paths)
    for script in scripts:
        mine = [(-row[2], i) for i, row in enumerate(rows) if row[0] == encode_address(script)]
        best = rows[min(mine)[1]]
        found = reading.table.lookup(script)
        assert found is not None
        assert (found.label, found.priority) == (best[1], best[2])


def test_sources_beyond_what_a_table_holds(tmp_path: Path) -> None:
    head = b"\0\x14"
    rows = [f"{encode_address(head + i.to_bytes(20))},a,{i}" for i in range(65_537)]
    reading = Reading(write(tmp_path / "list.csv", "\n".join(["address,label,source", *rows])))
    assert len(reading.table) == 65_537
    assert reading.summary.sources_forgotten == 2
    assert reading.entry(rows[0].split(",")[0]) == WatchEntry("a", "0", 0)
    assert reading.entry(rows[-1].split(",")[0]) == WatchEntry("a", "", 0)


# ---- tables of lists ----


def test_read_table_raises_all_faults_of_all_lists(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.csv", f"address,label\nx,y\n{A},ok\nz,y\n")
    worse = write(tmp_path / "worse.txt", "nothing\n")
    with pytest.raises(ConfigError) as caught:
        read_table([bad, worse])
    first, *lines = str(caught.value).splitlines()
    assert first == "3 lines cannot be used"
    assert [line.split(": ")[0] for line in lines] == [f"{bad}:2", f"{bad}:4", f"{worse}:1"]


def test_load_table_takes_both(tmp_path: Path) -> None:
    listed = write(tmp_path / "list.csv", f"address,label\n{A},satoshi\n")
    load_table(listed).save(tmp_path / "table.csv")  # told by its content, not its name
    assert load_table(tmp_path / "table.csv").find(decode_address(A)) == "satoshi"
    with pytest.raises(ConfigError, match="built for mainnet, not for signet"):
        load_table(tmp_path / "table.csv", "signet")
    with pytest.raises(ConfigError, match="the ending tells the format"):
        load_table(write(tmp_path / "list.xls", "x"))
    with pytest.raises(ConfigError, match="unknown network"):
        load_table(listed, "litecoin")


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("a.yaml", "title: x\ntags:\n  address: y\n", 3, "tags: a list is expected"),
        ("a.yaml", "x: &t\n- address: y\ntags: *t\n", 3, "tags: a list is expected"),
        ("a.yaml", "tags: []\n---\ntags:\n- address: y\n", 2, "a second document; the rest of the file is not read"),
        (
            "a.json",
            '[{"address": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "label": "a", "priority": 1.5}]',
            1,
            "priority '1.5': a whole number is expected",
        ),
    ],
)
def test_what_is_not_read_is_told(name: str, text: str, line: int, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    faults: list[Fault] = []
    ListReader(WatchTable(), on_fault=faults.append, on_conflict=lambda _: None).read(tmp_path / name)
    assert faults == [Fault(str(tmp_path / name), line, reason)]
