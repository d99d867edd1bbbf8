"""WatchTable: exact answers, growth, and what it says about a CSV file."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from hftcore import bitcoin
from hftcore.errors import ConfigError
from hftcore.watch import WatchTable

GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
TESTNET = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"


def script(number: int) -> bytes:
    return b"\x00\x14" + number.to_bytes(20)


def test_add_and_find() -> None:
    table = WatchTable()
    assert table.add(script(1), "kraken") is True
    assert table.add(bytearray(script(1)), "kraken") is False
    assert table.add_address(GENESIS, "satoshi") is True
    assert table.add(b"\x41" + b"\4" * 65 + b"\xac", "kraken") is True  # too long to be kept as it is
    assert len(table) == 3
    assert table.labels == ("kraken", "satoshi")
    assert table.find(memoryview(script(1))) == "kraken"
    assert table.find(bitcoin.decode_address(GENESIS)) == "satoshi"
    assert table.find(b"\x41" + b"\4" * 65 + b"\xac") == "kraken"
    assert table.find(b"\x41" + b"\4" * 65 + b"\xad") is None
    assert table.find(script(2)) is None
    assert table.find(b"") is None
    assert table.find(bytes(10_001)) is None
    assert repr(table) == "<WatchTable: 3 scripts, 2 labels>"


def test_conflict_changes_nothing() -> None:
    table = WatchTable()
    table.add(script(1), "kraken")
    with pytest.raises(ConfigError, match="already watched") as caught:
        table.add(script(1), "okx")
    assert caught.value.name == "HFT_E_WATCH_CONFLICT"
    assert table.labels == ("kraken",)
    assert table.find(script(1)) == "kraken"


def test_growth_keeps_everything() -> None:
    table = WatchTable(1)
    scripts = [script(i) if i % 3 else b"\x6a\x4c" + i.to_bytes(200) for i in range(5000)]
    for i, item in enumerate(scripts):
        assert table.add(item, f"owner {i % 7}")
    assert len(table) == 5000
    assert [table.find(item) for item in scripts] == [f"owner {i % 7}" for i in range(5000)]
    assert table.find(script(5000 * 3 + 1)) is None


@pytest.mark.parametrize("label", ["", "x" * 65, "a\nb", "a\x1b[2J", None, 7])
def test_labels_that_are_refused(label: object) -> None:
    table = WatchTable()
    with pytest.raises(ConfigError, match="1 to 64 printable"):
        table.add(script(1), label)  # type: ignore[arg-type]
    assert len(table) == 0


def test_scripts_and_capacities_that_are_refused() -> None:
    table = WatchTable()
    for wrong in (b"", bytes(10_001)):
        with pytest.raises(ConfigError) as caught:
            table.add(wrong, "x")
        assert caught.value.name == "HFT_E_WATCH_SCRIPT"
    for capacity in (0, -1, (1 << 24) + 1):
        with pytest.raises(ConfigError):
            WatchTable(capacity)
    with pytest.raises(AttributeError):
        table.frozen = True  # type: ignore[misc]


def test_memory_is_given_back() -> None:
    WatchTable(1 << 18)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(50):
        WatchTable(1 << 18)  # touches 2 MiB of its 14
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "addresses.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    header = "\ufeffAddress , source,exchange,scriptpubkey_hex"
    lines = [header, f"{GENESIS},a,satoshi,00", "", f' {SEGWIT} ,b,"bip, 173",', ""]
    table = WatchTable.from_csv(write(tmp_path, "\r\n".join(lines)))
    assert len(table) == 2
    assert table.labels == ("satoshi", "bip, 173")
    assert table.conflicts == ()


def test_csv_label_counts_before_exchange(tmp_path: Path) -> None:
    table = WatchTable.from_csv(write(tmp_path, f"address,exchange,label\n{GENESIS},a,b\n"))
    assert table.labels == ("b",)


def test_csv_of_another_network(tmp_path: Path) -> None:
    path = write(tmp_path, f"address,label\n{TESTNET},x\n")
    assert len(WatchTable.from_csv(path, "signet")) == 1
    with pytest.raises(ConfigError, match="line 2: address belongs to another network"):
        WatchTable.from_csv(str(path))


def test_csv_reports_every_bad_line_at_once(tmp_path: Path) -> None:
    lines = [
        "address,label",
        f"{GENESIS},good",
        f"{GENESIS[:-1]}b,bad checksum",
        f"{TESTNET},bad network",
        f"{SEGWIT}",
        f"{SEGWIT},",
        ",no address",
        f'"{SEGWIT}","two\nlines"',
        f"{SEGWIT},good,too many",
        f'{SEGWIT},"quote" behind',
    ]
    with pytest.raises(ConfigError) as caught:
        WatchTable.from_csv(write(tmp_path, "\n".join(lines)))
    report = str(caught.value).splitlines()
    assert report[0].endswith("addresses.csv: 8 lines cannot be used")
    assert [line.split(":")[0] for line in report[1:]] == [f"line {n}" for n in (3, 4, 5, 6, 7, 9, 10, 11)]
    for line, words in zip(
        report[1:],
        ["checksum", "another network", "1 fields", "label", "empty", "label", "3 fields", "expected after"],
        strict=True,
    ):
        assert words in line


@pytest.mark.parametrize("text", ["", "\n", f"{GENESIS},satoshi\n", "address\n", "label,source\n"])
def test_csv_needs_its_header(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="the header must name"):
        WatchTable.from_csv(write(tmp_path, text))


def test_csv_conflicts_are_kept_for_the_user(tmp_path: Path) -> None:
    text = f"address,label\n{SEGWIT},first\n{SEGWIT.upper()},second\n{SEGWIT},first\n{GENESIS},second\n"
    table = WatchTable.from_csv(write(tmp_path, text))
    assert table.find(bitcoin.decode_address(SEGWIT)) == "first"
    assert table.conflicts == (f"line 3: {SEGWIT.upper()} is watched as 'first', not 'second'",)
    assert len(table) == 2


def test_csv_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"address,label\n\xff\xfe\xfd,x\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        WatchTable.from_csv(path)
    with pytest.raises(FileNotFoundError):
        WatchTable.from_csv(tmp_path / "absent")
