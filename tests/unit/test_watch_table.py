"""WatchTable: exact answers, growth, conflicts and files."""

from __future__ import annotations

import hashlib
import random
import resource
from pathlib import Path

import pytest

from hftcore import bitcoin
from hftcore.errors import ConfigError, HftError, LimitExceeded
from hftcore.watch import FILE_MAGIC, WatchEntry, WatchTable

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
    assert table.lookup(script(1)) == WatchEntry("kraken", "", 0)
    assert table.lookup(script(2)) is None
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


# ---- conflicts ----


def test_the_higher_priority_counts_or_else_the_first() -> None:
    table = WatchTable()
    assert table.put(script(1), "kraken", "list a") is None
    assert table.put(script(1), "okx", "list b") == WatchEntry("okx", "list b", 0)
    assert table.lookup(script(1)) == WatchEntry("kraken", "list a", 0)
    assert table.labels == ("kraken",)
    assert table.put(script(1), "okx", "list c", 5) == WatchEntry("kraken", "list a", 0)
    assert table.lookup(script(1)) == WatchEntry("okx", "list c", 5)
    assert table.put(script(1), "huobi", "list d", 4) == WatchEntry("huobi", "list d", 4)
    assert table.put(script(1), "huobi", "list d", -4) == WatchEntry("huobi", "list d", -4)
    assert table.put(script(1), "okx", "list e", 5) is None
    assert table.lookup(script(1)) == WatchEntry("okx", "list c", 5)
    assert table.put(script(1), "okx", "list f", 6) is None
    assert table.lookup(script(1)) == WatchEntry("okx", "list f", 6)
    assert table.labels == ("kraken", "okx")
    assert len(table) == 1


def test_sources_and_priorities_that_are_refused() -> None:
    table = WatchTable()
    for source in ("x" * 257, "a\nb", None):
        with pytest.raises(ConfigError, match="source"):
            table.add(script(1), "kraken", source)  # type: ignore[arg-type]
    for priority in (1 << 31, -(1 << 31) - 1, 1.5, "1"):
        with pytest.raises(ConfigError, match="priority"):
            table.add(script(1), "kraken", "x", priority)  # type: ignore[arg-type]
    assert len(table) == 0
    for i in range(65_535):
        table.put(script(1), "kraken", f"source {i}")
    with pytest.raises(LimitExceeded, match="65536"):
        table.put(script(1), "kraken", "one more")


# ---- files ----


def real_script(random_: random.Random) -> bytes:
    """A script of one of the types that exist, in about the shares that they have."""
    heads: list[tuple[bytes, int, bytes]] = [
        (b"\x76\xa9\x14", 20, b"\x88\xac"),
        (b"\xa9\x14", 20, b"\x87"),
        (b"\x00\x14", 20, b""),
        (b"\x00\x20", 32, b""),
        (b"\x51\x20", 32, b""),
        (b"\x51\x02", 2, b""),
        (b"\x21\x02", 32, b"\xac"),
        (b"\x41\x04", 64, b"\xac"),
        (b"\x51\x21\x02" + bytes(32) + b"\x21\x03", 32, b"\x52\xae"),
        (b"\x60\x28", 40, b""),
    ]
    head, length, tail = random_.choice(heads)
    return head + random_.randbytes(length) + tail


def test_a_file_answers_as_a_dict_does(tmp_path: Path) -> None:
    random_ = random.Random(5)
    model: dict[bytes, WatchEntry] = {}
    table = WatchTable(16)
    for i in range(20_000):
        item = real_script(random_)
        if item not in model:
            model[item] = WatchEntry(f"owner {i % 50}", f"list {i % 7}", i % 3 - 1)
            assert table.add(item, *model[item]) is True
    table.save(tmp_path / "table", "testnet4")
    opened = WatchTable.open(tmp_path / "table")
    assert opened.network == "testnet4"
    assert opened.labels == table.labels
    for _ in range(2):
        assert len(opened) == len(table) == len(model)
        assert all(opened.lookup(item) == entry == table.lookup(item) for item, entry in model.items())
        for _ in range(20_000):
            item = real_script(random_)
            assert opened.find(item) == table.find(item) == (model[item].label if item in model else None)
        for item in list(model)[:500]:  # one bit from a watched one
            flipped = bytearray(item)
            flipped[random_.randrange(len(item))] ^= 1 << random_.randrange(8)
            assert (opened.find(flipped) is not None) == (bytes(flipped) in model)
        opened.load()
    opened.save(tmp_path / "again")
    assert WatchTable.open(tmp_path / "again").lookup(next(iter(model))) == next(iter(model.values()))


def small_file(tmp_path: Path) -> Path:
    table = WatchTable()
    for i in range(20):
        table.add(script(i), f"owner {i % 3}", "a list", i % 2)
    table.save(tmp_path / "table")
    return tmp_path / "table"


def test_an_opened_table_is_frozen(tmp_path: Path) -> None:
    table = WatchTable.open(small_file(tmp_path))
    assert table.frozen
    for change in (table.add, table.put):
        with pytest.raises(HftError) as caught:
            change(script(1), "x")
        assert caught.value.name == "HFT_E_STATE"


def test_a_file_is_small(tmp_path: Path) -> None:
    table = WatchTable()
    for i in range(100_000):
        table.add(script(i), "one")
    table.save(tmp_path / "table")
    assert (tmp_path / "table").stat().st_size <= 48 * 100_000


def test_an_empty_table_is_a_file_too(tmp_path: Path) -> None:
    WatchTable().save(tmp_path / "table")
    table = WatchTable.open(tmp_path / "table")
    assert len(table) == 0
    assert table.find(script(1)) is None


def test_a_file_that_is_cut_off_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = small_file(tmp_path).read_bytes()
    assert whole.startswith(FILE_MAGIC)
    path = tmp_path / "cut"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError) as caught:
            WatchTable.open(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert caught.value.name == ("HFT_E_WATCH_FORMAT" if size < 8 else "HFT_E_WATCH_DAMAGED")


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    whole = small_file(tmp_path).read_bytes()
    random_ = random.Random(1)
    path = tmp_path / "damaged"
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << random_.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ConfigError) as caught:
            use(path)
        assert caught.value.name in ("HFT_E_WATCH_FORMAT", "HFT_E_WATCH_DAMAGED")


def use(path: Path) -> None:
    table = WatchTable.open(path)
    for i in range(40):
        table.lookup(script(i))
    table.load()


def reseal(data: bytearray) -> bytes:
    """Makes the header's checksums right again: what somebody would do who wants to harm."""
    data[120:152] = hashlib.sha256(data[256:]).digest()
    data[224:256] = hashlib.sha256(data[:224]).digest()
    return bytes(data)


@pytest.mark.parametrize(
    "names",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"[" * 200_000,
        b'{"labels":["a"],"origins":[["",0]]}',
        b'{"labels":["a","b","a"],"origins":[["",0]]}',
        b'{"labels":["a","b",""],"origins":[["",0]]}',
        b'{"labels":["a","b",{}],"origins":[["",0]]}',
        b'{"labels":{"a":1,"b":2,"c":3},"origins":[["",0]]}',
        b'{"labels":["a","b","c"],"origins":[["",0,0]]}',
        b'{"labels":["a","b","c"],"origins":[["","x"]]}',
        b'{"labels":["a","b","c"],"origins":7}',
        b"\xff\xfe",
    ],
    ids=lambda names: f"{names[:30]!r} {len(names)}",
)
def test_names_that_make_no_sense_are_refused(tmp_path: Path, names: bytes) -> None:
    path = small_file(tmp_path)
    whole = path.read_bytes()
    body = whole[: whole.index(b'{"labels"')]
    data = bytearray(body + names)
    data[24:32] = len(names).to_bytes(8, "little")
    path.write_bytes(reseal(data))
    with pytest.raises(ConfigError, match="damaged"):
        WatchTable.open(path)


def test_labels_and_origins_out_of_range_are_no_answer(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(script(5))
    data[at + 35 : at + 40] = b"\xff" * 5
    path.write_bytes(reseal(data))
    table = WatchTable.open(path)
    table.load()
    assert table.lookup(script(5)) is None
    data[at + 35 : at + 38] = b"\0\0\0"
    path.write_bytes(reseal(data))
    assert WatchTable.open(path).lookup(script(5)) == WatchEntry("owner 0", "", 0)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(reseal(data))
    with pytest.raises(ConfigError, match="another version") as caught:
        WatchTable.open(path)
    assert caught.value.name == "HFT_E_WATCH_FORMAT"
    for wrong in (tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError, match="not a regular file"):
            WatchTable.open(wrong)
    with pytest.raises(FileNotFoundError):
        WatchTable.open(tmp_path / "absent")


def test_an_open_table_keeps_the_file_that_it_had(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    before = WatchTable.open(path)
    other = WatchTable()
    other.add(script(99), "new owner")
    other.save(path)
    assert before.find(script(1)) == "owner 1"
    before.load()
    assert before.find(script(1)) == "owner 1"
    assert WatchTable.open(path).labels == ("new owner",)
    assert [item.name for item in tmp_path.iterdir()] == ["table"]


def test_saving_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    path = small_file(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        WatchTable().save(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["table"]


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    table = WatchTable.open(path)
    with path.open("r+b") as file:
        file.truncate(300)
    with pytest.raises(ConfigError, match="shorter"):
        table.load()


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        WatchTable.open(path)
        WatchTable.open(path).load()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_locking(tmp_path: Path) -> None:
    table = WatchTable.open(small_file(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    before = locked_kib()
    table.lock()
    table.load()
    assert locked_kib() > before
    del table
    assert locked_kib() == before
    assert limits == resource.getrlimit(resource.RLIMIT_MEMLOCK)


def locked_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck"))
