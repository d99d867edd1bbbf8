"""``hft addresses``: lists of addresses into one table, and what a table says of an address."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hftcore.address_lists import ENDINGS, Conflict, Fault, ListReader, Summary, load_table
from hftcore.bitcoin import NETWORKS, ScriptType, classify_script, decode_address
from hftcore.errors import ConfigError
from hftcore.watch import WatchEntry, WatchTable


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of an address. entry: None where the table has no such script, or no table was given."""

    kind: str
    networks: tuple[str, ...]
    script: bytes
    entry: WatchEntry | None


def build(lists: list[Path], out: Path, *, network: str, keep_going: bool, console: Console) -> int:
    """Builds a table file; the exit status. Lines that cannot be used, and conflicts, go to standard error."""
    for path in lists:
        if path.suffix.lower() not in ENDINGS:
            raise ConfigError(f"{path}: the ending tells the format; it must be one of {', '.join(ENDINGS)}")
    try:
        total = sum(path.stat().st_size for path in lists)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from None
    table = WatchTable()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    err = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("reading", total=total)

        def tell(news: Fault | Conflict) -> None:
            kind = "error" if isinstance(news, Fault) else "conflict"
            err.print(f"{kind}: {news}", soft_wrap=True, markup=False, highlight=False)

        reader = ListReader(
            table,
            network,
            on_fault=tell,
            on_conflict=tell,
            progress=lambda done: bar.update(task, completed=done),
        )
        for path in lists:
            reader.read(path)
        written = len(table) > 0 and (keep_going or reader.summary.faults == 0)
        if written:
            bar.update(task, description="writing")
            table.save(out, network)
    console.print("\n".join(_summary(reader.summary)), highlight=False)
    if written:
        size = out.stat().st_size
        console.print(
            f"{out}: {len(table):,} scripts, {len(table.labels):,} labels, {size:,} bytes "
            f"({size / len(table):.1f} a script)",
            soft_wrap=True,
            highlight=False,
        )
        return 0
    if len(table) == 0:
        print("error: there is no address in the lists; nothing is written", file=sys.stderr)
    else:
        print("error: nothing is written; mend the lines, or leave them out with --keep-going", file=sys.stderr)
    return 1


def _summary(summary: Summary) -> Iterable[str]:
    yield f"{summary.entries:,} entries: {summary.added:,} added, {summary.repeated:,} there already"
    if summary.conflicts:
        yield f"  {summary.conflicts:,} whose label is not an earlier one's: the higher priority counts, or the first"
    if summary.faults:
        yield f"  {summary.faults:,} that cannot be used"
    if summary.left_out:
        what = ", ".join(f"{count:,} of {name}" for name, count in summary.left_out.most_common())
        yield f"  {summary.left_out.total():,} of other currencies, or without an address: {what}"
    if summary.sources_forgotten:
        yield f"  {summary.sources_forgotten:,} without their source: a table holds 65,536 different ones"


def describe_script(script: bytes) -> str:
    """The name of an address's script type."""
    kind = classify_script(script)
    if kind in (ScriptType.ANCHOR, ScriptType.WITNESS_UNKNOWN):
        return f"witness version {script[0] - 0x50}, {len(script) - 2} bytes"
    return kind.upper()


def check(address: str, table_path: Path | None) -> Checked:
    """What `address` is, on whatever network, and what the table says. Raises ConfigError if it is no address."""
    networks = []
    script = b""
    failure: ConfigError | None = None
    for network in NETWORKS:
        try:
            script = decode_address(address, network)
            networks.append(network)
        except ConfigError as error:
            failure = failure or error
    if not networks:
        assert failure is not None
        raise failure
    entry = None
    if table_path is not None:
        try:
            table = _table(table_path, networks)
        except OSError as error:
            raise ConfigError(f"{table_path}: {error.strerror}") from None
        entry = table.lookup(script)
    return Checked(describe_script(script), tuple(networks), script, entry)


def _table(path: Path, networks: list[str]) -> WatchTable:
    """The table, if it is for one of the networks that the address is valid on."""
    for network in networks[1:]:
        try:
            return load_table(path, network)
        except ConfigError:
            continue
    return load_table(path, networks[0])
