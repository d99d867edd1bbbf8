"""`./dev conformance`: Autobahn's cases against each face, in one table; status 1 if one is not strictly right."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import buildconf
from tests.autobahn import clients, install, suites

NO_PYTHON = """\
Autobahn was not run: it is Python 2 code, and no Python 2.7 was found on PATH or among pyenv's versions.
`pyenv install 2.7.18` makes one; HFTCORE_PYTHON2 may name another."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One client in one suite; problem: how the client itself ended, if not well."""

    suite: str
    face: str
    result: suites.Result
    seconds: float
    problem: str

    @property
    def good(self) -> bool:
        return self.result.good and not self.problem


def run_client(face: str, server: suites.Server, flags: list[str], told: Callable[[int, int], None]) -> str:
    """Plays all cases in a process of its own, which may crash. Returns what went wrong, or nothing.

    told: is called with the number of cases played, and that of all.
    """
    command = [sys.executable, "-m", "tests.autobahn.clients", face, server.url, face, *flags]
    log = server.folder / f"{face}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=buildconf.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert process.stdout is not None
        try:
            count = int(process.stdout.readline() or 0)
            for line in process.stdout:
                told(int(line), count)
            status = process.wait()
        finally:
            process.kill()
            process.wait()
    if status == 0:
        return ""
    last = (log.read_text().strip().splitlines() or [""])[-1]
    return f"the client ended with status {status}: {last} ({log})"


def run_suite(name: str, wstest: Path, options: argparse.Namespace, progress: Progress) -> list[Row]:
    suite = suites.SUITES[name]
    flags = ["--backend", options.backend, *(["--compress"] if name.startswith("deflate") else [])]
    rows = []
    with suites.serve(wstest, suite, install.FOLDER / "reports" / name) as server:
        for face in options.faces:
            task = progress.add_task(f"{name} {face}", total=suite.count)
            told = functools.partial(_tell, progress, task)
            start = time.monotonic()
            problem = run_client(face, server, flags, told)
            rows.append(Row(name, face, server.report(face, suite.count), time.monotonic() - start, problem))
    return rows


def _tell(progress: Progress, task: TaskID, completed: int, total: int) -> None:
    progress.update(task, completed=completed, total=total)


def table_of(rows: list[Row], backend: str) -> Table:
    table = Table(title=f"Autobahn, client, backend {backend}", title_justify="left")
    for heading in ("suite", "client", "cases", "failed", "non-strict", "wrong close", "seconds"):
        table.add_column(heading, justify="left" if heading in {"suite", "client"} else "right", no_wrap=True)
    for row in rows:
        result = row.result
        counts = [len(names) for names in (result.failed, result.non_strict, result.wrong_close)]
        marked = [f"[bold red]{count}[/]" if count else "0" for count in counts]
        cases = f"[bold red]{result.cases} of {result.expected}[/]" if result.missing else str(result.cases)
        table.add_row(row.suite, row.face, cases, *marked, f"{row.seconds:.0f}")
    return table


def print_problems(rows: list[Row], console: Console) -> None:
    for row in rows:
        if row.problem:
            console.print(f"{row.suite} {row.face}: {row.problem}", highlight=False, soft_wrap=True)
        for what in ("failed", "non_strict", "wrong_close"):
            for case in getattr(row.result, what):
                page = install.FOLDER / "reports" / row.suite / f"{row.face}_case_{case.replace('.', '_')}.html"
                words = what.replace("_", " ")
                console.print(f"{row.suite} {row.face} {case} {words}: {page}", highlight=False, soft_wrap=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev conformance", description=__doc__)
    every = [*clients.FACES, *clients.PEERS]
    parser.add_argument("faces", nargs="*", metavar="FACE", help=f"of {', '.join(every)} (default: our three)")
    parser.add_argument("--suite", action="append", choices=list(suites.SUITES), help="one suite; may be repeated")
    parser.add_argument("--all", action="store_true", help="every case of permessage-deflate: minutes more")
    parser.add_argument("--backend", choices=["auto", "io_uring", "epoll"], default="auto")
    options = parser.parse_args()
    options.faces = options.faces or list(clients.FACES)
    if wrong := sorted(set(options.faces) - set(every)):
        parser.error(f"no client named {', '.join(wrong)}; there are {', '.join(every)}")
    options.suite = options.suite or ["core", "perf", "deflate-all" if options.all else "deflate"]
    return options


def main() -> int:
    options = parse()
    console = Console()
    python = install.find_python()
    if python is None:
        console.print(NO_PYTHON, highlight=False)
        return 0
    wstest = install.installed()
    if wstest is None:
        console.print(f"installing Autobahn for {python} ({install.LOG})", highlight=False, soft_wrap=True)
        try:
            wstest = install.install(python)
        except install.InstallError as error:
            console.print(str(error), highlight=False, soft_wrap=True)
            return 1
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[Row] = []
    with Progress(*columns, console=console, transient=True) as progress:
        for name in options.suite:
            rows += run_suite(name, wstest, options, progress)
    console.print(table_of(rows, options.backend))
    print_problems(rows, console)
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
