"""Lists of addresses, as people publish them, into a WatchTable; what cannot be used is reported line by line.

A list is a file in one of these formats, told by its ending:

``.csv``
    UTF-8 with a header line; columns ``address`` (or ``script``: scriptPubKey in hex) and ``label`` (or ``exchange``),
    and, where wanted, ``source`` and ``priority``. Others are ignored.
``.txt``
    A line for each address: the address, and, separated by white space, the label; without one, the file's name without
    its ending is the label. ``#`` begins a comment line.
``.yaml``, ``.yml``
    A GraphSense TagPack (github.com/graphsense/graphsense-tagpack-tool): ``address``, ``label`` and ``source`` of each
    tag, or of the pack where the tag has none. Tags of other currencies and of transactions are left out and counted.
``.json``
    A list of objects with the names of the CSV's columns, or an object: ``{label: [address, ...]}`` or
    ``{address: label}``.
``.jsonl``
    Such an object on each line.

Where the lists disagree on whose an address is, the higher priority counts (default 0); of equal ones the first: an
earlier list before a later one, an earlier line before a later one. A source that is not given is the list's file name.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import yaml

from hftcore.addresses import decode_address, get_network
from hftcore.errors import ConfigError, LimitExceeded
from hftcore.watch import FILE_MAGIC, SOURCE_MAX, WatchEntry, WatchTable

ENDINGS = {
    ".csv": "csv",
    ".txt": "text",
    ".yaml": "tagpack",
    ".yml": "tagpack",
    ".json": "json",
    ".jsonl": "jsonl",
}
_PROGRESS_EVERY = 4096  # entries


class Fault(NamedTuple):
    """A line that cannot be used. line counts from 1."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class Conflict(NamedTuple):
    """A line that disagrees with an earlier one on whose an address is: which label the table has now, which not."""

    path: str
    line: int
    address: str
    kept: WatchEntry
    lost: WatchEntry

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line}: {self.address} is {_described(self.kept)}; "
            f"that it is {_described(self.lost)} does not count"
        )


def _described(entry: WatchEntry) -> str:
    priority = f", priority {entry.priority}" if entry.priority else ""
    return f"{entry.label!r} ({entry.source}{priority})"


@dataclass(slots=True)
class Summary:
    """What became of the entries of all lists: added + repeated + conflicts + faults + left_out = entries."""

    entries: int = 0
    added: int = 0
    repeated: int = 0
    """The address was there with the same label."""
    conflicts: int = 0
    faults: int = 0
    sources_forgotten: int = 0
    """Added, but without their source: a table holds 65,536 different ones."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Of other currencies, by name; "transactions" where a TagPack names one instead of an address."""


class _Entry(NamedTuple):
    line: int
    fields: dict[str, str]


class _Skipped(NamedTuple):
    what: str


class _Bad(NamedTuple):
    line: int
    reason: str


_Item = _Entry | _Skipped | _Bad
_Reader = Callable[[BinaryIO, Path], Iterator[_Item]]


# ---- formats ----


def _text(file: BinaryIO) -> io.TextIOWrapper:
    """Bytes that are no UTF-8 become surrogates, so that they spoil their own line alone."""
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(file: BinaryIO, _path: Path) -> Iterator[_Item]:
    reader = csv.reader(_text(file), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        yield _Bad(reader.line_num, str(error))
        return
    if not {"address", "script"} & set(names) or not {"label", "exchange"} & set(names):
        yield _Bad(1, "the header must name the columns `address` (or `script`) and `label` (or `exchange`)")
        return
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield _Bad(reader.line_num, str(error))
            continue
        if row is None:
            return
        if len(row) == len(names):
            yield _Entry(reader.line_num, dict(zip(names, row, strict=True)))
        elif any(cell.strip() for cell in row):
            yield _Bad(reader.line_num, f"{len(row)} fields, the header has {len(names)}")


def _plain(file: BinaryIO, path: Path) -> Iterator[_Item]:
    for number, line in enumerate(_text(file), 1):
        words = line.split(maxsplit=1)
        if words and not words[0].startswith("#"):
            yield _Entry(number, {"address": words[0], "label": words[1] if len(words) > 1 else path.stem})


def _json_fields(value: object, line: int) -> _Item:
    if not isinstance(value, dict):
        return _Bad(line, f"an object is expected, not {json.dumps(value)[:40]}")
    fields = {}
    for name, content in value.items():
        if isinstance(content, str | int | float) and not isinstance(content, bool):
            fields[name.lower()] = str(content)
    return _Entry(line, fields)


def _json_lines(file: BinaryIO, _path: Path) -> Iterator[_Item]:
    for number, line in enumerate(_text(file), 1):
        if line.strip():
            try:
                yield _json_fields(json.loads(line), number)
            except (ValueError, RecursionError) as error:
                yield _Bad(number, f"not JSON: {error}")


class _JsonText:
    """Reads JSON value by value, to know each one's line and to hold one at a time."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.line = 1
        self._counted = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not white space, "" at the end; `line` is its line."""
        match = re.compile(r"[ \t\r\n]*").match(self.text, self.pos)
        self.pos = match.end() if match else self.pos
        self.line += self.text.count("\n", self._counted, self.pos)
        self._counted = self.pos
        return self.text[self.pos : self.pos + 1]

    def expect(self, wanted: str) -> str:
        found = self.peek()
        if not found or found not in wanted:
            raise ValueError(f"{' or '.join(wanted)} expected")
        self.pos += 1
        return found

    def value(self) -> Any:
        self.peek()
        value, self.pos = self._decoder.raw_decode(self.text, self.pos)
        return value

    def items(self, end: str) -> Iterator[None]:
        """Stops in front of each item, up to the bracket `end`; the one that opens has been taken."""
        if self.peek() == end:
            self.pos += 1
            return
        while True:
            yield
            if self.expect("," + end) == end:
                return


def _json_items(text: _JsonText) -> Iterator[_Item]:
    if text.expect("[{") == "[":
        for _ in text.items("]"):
            text.peek()
            line = text.line
            yield _json_fields(text.value(), line)
    else:
        for _ in text.items("}"):
            text.peek()
            line, key = text.line, text.value()
            if not isinstance(key, str):
                raise ValueError("a name in quotes expected")
            text.expect(":")
            if text.peek() != "[":
                value = text.value()
                if isinstance(value, str):
                    yield _Entry(line, {"address": key, "label": value})
                else:
                    yield _Bad(line, f"{key!r}: a label or a list of addresses is expected")
                continue
            text.expect("[")
            for _ in text.items("]"):
                text.peek()
                line, value = text.line, text.value()
                yield _Entry(line, {"address": value if isinstance(value, str) else repr(value), "label": key})
    if text.peek():
        raise ValueError("something follows the end")


def _json(file: BinaryIO, _path: Path) -> Iterator[_Item]:
    text = _JsonText(file.read().decode("utf-8-sig", "surrogateescape"))
    try:
        yield from _json_items(text)
    except (ValueError, RecursionError) as error:
        yield _Bad(text.line, f"not JSON: {error}; the rest of the file is not read")


class _Tagpack:
    """The events of a YAML file, as far as TagPacks need them: mappings of text."""

    def __init__(self, file: BinaryIO) -> None:
        self._events = yaml.parse(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._anchors: dict[str, str] = {}
        self.line = 1

    def next(self) -> Any:
        event = next(self._events)
        self.line = event.start_mark.line + 1 if event.start_mark is not None else self.line
        return event

    def scalar(self, event: Any) -> str | None:
        """The text of a scalar, None where it is null or no scalar."""
        if isinstance(event, yaml.AliasEvent):
            return self._anchors.get(event.anchor or "")
        if not isinstance(event, yaml.ScalarEvent) or (event.implicit[0] and event.value in ("", "~", "null")):
            return None
        if event.anchor is not None:
            self._anchors[event.anchor] = event.value
        return str(event.value)

    def skip(self, event: Any) -> None:
        """Passes over the rest of what `event` begins."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth <= 0:
                return
            event = self.next()

    def mapping(self) -> Iterator[tuple[str, Any]]:
        """(key, first event of the value) of each pair; whoever takes it reads the value to its end."""
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key = self.scalar(event)
            if key is None:
                self.skip(event)
            yield key or "", self.next()

    def fields(self) -> dict[str, str]:
        """The pairs of a mapping whose values are text."""
        found = {}
        for key, event in self.mapping():
            value = self.scalar(event)
            if value is not None:
                found[key] = value
            self.skip(event)
        return found

    def open_pack(self) -> None:
        for wanted in (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.MappingStartEvent):
            if not isinstance(self.next(), wanted):
                raise ConfigError("a TagPack is a mapping: title, creator, tags")


def _included(path: Path, name: str) -> dict[str, str]:
    """The fields of a pack's ``header: !include NAME``, which is kept in the pack's folder or in one above."""
    for folder in path.resolve().parents:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                reader = _Tagpack(file)
                reader.open_pack()
                return reader.fields()
    raise ConfigError(f"header: {name} is neither in the folder of the pack nor above it")


def _pack_fields(file: BinaryIO, path: Path) -> dict[str, str]:
    """What holds for all tags of a pack, wherever it stands in the file."""
    reader = _Tagpack(file)
    reader.open_pack()
    fields: dict[str, str] = {}
    for key, event in reader.mapping():
        value = reader.scalar(event)
        if key == "header" and isinstance(event, yaml.MappingStartEvent):
            fields |= reader.fields()
        elif key == "header" and value is not None and event.tag == "!include":
            fields |= _included(path, value)
        else:
            if value is not None:
                fields[key] = value
            reader.skip(event)
    return fields


def _tags(file: BinaryIO, pack: dict[str, str]) -> Iterator[_Item]:
    reader = _Tagpack(file)
    reader.open_pack()
    for key, event in reader.mapping():
        if key != "tags" or not isinstance(event, yaml.SequenceStartEvent):
            if key == "tags":
                yield _Bad(reader.line, "tags: a list is expected")
            reader.scalar(event)  # tags may refer to it
            reader.skip(event)
            continue
        while not isinstance(event := reader.next(), yaml.SequenceEndEvent):
            line = reader.line
            if not isinstance(event, yaml.MappingStartEvent):
                reader.skip(event)
                yield _Bad(line, "a tag is a mapping: address, label, source")
                continue
            own = reader.fields()
            fields = {**pack, **own}
            network = (fields.get("network") or fields.get("currency") or "BTC").upper()
            if network != "BTC":
                yield _Skipped(network)
            elif "address" not in own and "tx_hash" in own:
                yield _Skipped("transactions")
            else:
                yield _Entry(line, fields)
    reader.next()  # the end of the document
    if not isinstance(reader.next(), yaml.StreamEndEvent):
        yield _Bad(reader.line, "a second document; the rest of the file is not read")


def _tagpack(file: BinaryIO, path: Path) -> Iterator[_Item]:
    try:
        pack = _pack_fields(file, path)
        pack.pop("address", None)
        file.seek(0)
        yield from _tags(file, pack)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else 1
        yield _Bad(line, f"not YAML: {error.problem or error.context}; the rest of the file is not read")
    except yaml.YAMLError as error:
        yield _Bad(1, f"not YAML: {' '.join(str(error).split())}; the rest of the file is not read")
    except ConfigError as error:
        yield _Bad(1, f"{error}; the file is not read")


_READERS: dict[str, _Reader] = {
    "csv": _csv,
    "text": _plain,
    "json": _json,
    "jsonl": _json_lines,
    "tagpack": _tagpack,
}


# ---- into the table ----


def _script(fields: dict[str, str], network: str) -> tuple[str, bytes]:
    address, script = fields.get("address", "").strip(), fields.get("script", "").strip()
    if address or not script:
        return address, decode_address(address, network)
    try:
        return script, bytes.fromhex(script)
    except ValueError:
        raise ConfigError("script: not hex") from None


def _priority(fields: dict[str, str]) -> int:
    text = fields.get("priority", "").strip()
    try:
        return int(text) if text else 0
    except ValueError:
        raise ConfigError(f"priority {text!r}: a whole number is expected") from None


class ListReader:
    """Reads lists into `table`, one after the other.

    on_fault and on_conflict are called for each line that cannot be used or counts for nothing; progress for every few
    thousand entries, with the number of bytes read of all files so far.
    """

    def __init__(
        self,
        table: WatchTable,
        network: str = "mainnet",
        *,
        on_fault: Callable[[Fault], object],
        on_conflict: Callable[[Conflict], object],
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        self.table = table
        self.network = get_network(network).name
        self.summary = Summary()
        self._on_fault = on_fault
        self._on_conflict = on_conflict
        self._progress = progress
        self._done_before = 0

    def read(self, path: str | os.PathLike[str], form: str | None = None) -> None:
        """Reads one list; form: a format of ENDINGS, if not by the ending. OSError where the file cannot be read."""
        path = Path(path)
        form = form or ENDINGS.get(path.suffix.lower())
        if form is None:
            raise ConfigError(f"{path}: the ending tells the format; it must be one of {', '.join(ENDINGS)}")
        with path.open("rb") as file:
            for i, item in enumerate(_READERS[form](file, path)):
                self._take(item, path)
                if i % _PROGRESS_EVERY == 0:
                    self._progress(self._done_before + file.tell())
        self._done_before += path.stat().st_size
        self._progress(self._done_before)

    def _take(self, item: _Item, path: Path) -> None:
        self.summary.entries += 1
        if isinstance(item, _Skipped):
            self.summary.left_out[item.what] += 1
        elif isinstance(item, _Bad):
            self._fault(path, item.line, item.reason)
        else:
            try:
                self._put(item, path)
            except LimitExceeded:
                raise
            except ConfigError as error:
                text = "".join(item.fields.values())
                is_utf8 = not any("\ud800" <= char <= "\udfff" for char in text)
                self._fault(path, item.line, str(error) if is_utf8 else "not UTF-8 text")

    def _fault(self, path: Path, line: int, reason: str) -> None:
        self.summary.faults += 1
        self._on_fault(Fault(str(path), line, reason))

    def _put(self, entry: _Entry, path: Path) -> None:
        fields = entry.fields
        label = (fields.get("label") or fields.get("exchange") or "").strip()
        source = (fields.get("source", "").strip() or path.name)[:SOURCE_MAX]
        address, script = _script(fields, self.network)
        priority, before = _priority(fields), len(self.table)
        try:
            lost = self.table.put(script, label, source, priority)
        except LimitExceeded as error:
            if error.name == "HFT_E_WATCH_FULL":
                raise
            self.summary.sources_forgotten += 1
            lost = self.table.put(script, label, "", priority)
        if lost is not None:
            self.summary.conflicts += 1
            kept = self.table.lookup(script)
            assert kept is not None
            self._on_conflict(Conflict(str(path), entry.line, address, kept, lost))
        elif len(self.table) == before:
            self.summary.repeated += 1
        else:
            self.summary.added += 1


def read_table(
    paths: Iterable[str | os.PathLike[str]],
    network: str = "mainnet",
    *,
    form: str | None = None,
    on_conflict: Callable[[Conflict], object] = lambda conflict: None,
) -> WatchTable:
    """A table from lists, if all their lines can be used; else one ConfigError reports every line that cannot."""
    table = WatchTable()
    faults: list[Fault] = []
    reader = ListReader(table, network, on_fault=faults.append, on_conflict=on_conflict)
    for path in paths:
        reader.read(path, form)
    if faults:
        lines = "line" if len(faults) == 1 else "lines"
        raise ConfigError("\n".join([f"{len(faults)} {lines} cannot be used", *map(str, faults)]))
    return table


def load_table(path: str | os.PathLike[str], network: str = "mainnet") -> WatchTable:
    """The table of a file: one that WatchTable.save() wrote, or else a list.

    Raises ConfigError as read_table() and WatchTable.open(), and if the table was built for another network; OSError.
    """
    path = Path(path)
    with path.open("rb") as file:
        is_table = file.read(len(FILE_MAGIC)) == FILE_MAGIC
    if not is_table:
        return read_table([path], network)
    table = WatchTable.open(path)
    if table.network != get_network(network).name:
        raise ConfigError(f"{path}: the watch table was built for {table.network}, not for {network}")
    return table
