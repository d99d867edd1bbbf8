"""Suites of cases, the server that plays them, and what it says in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

START_S = 30.0


@dataclasses.dataclass(frozen=True)
class Suite:
    """cases, exclude: as the suite's configuration writes them; count: so many there are; about: a word for people."""

    cases: tuple[str, ...]
    exclude: tuple[str, ...]
    count: int
    about: str


_DEFLATE_QUICK = (
    *(f"12.1.{n}" for n in (1, 2, 3, 4, 11)), "12.2.1", "12.2.2", "12.3.1", "12.4.1", "12.5.1",
    *(f"13.{n}.1" for n in range(1, 8)),
)  # fmt: skip
SUITES = {
    "core": Suite(("*",), ("9.*", "12.*", "13.*"), 247, "frames, UTF-8, fragments, pings, closing"),
    "perf": Suite(("9.*",), (), 54, "large messages, many messages, in many pieces"),
    "deflate": Suite(_DEFLATE_QUICK, (), 17, "permessage-deflate, one case of each kind"),
    "deflate-all": Suite(("12.*", "13.*"), (), 216, "permessage-deflate, every case"),
}


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one client in one suite: how many cases were played, and the names of those that were not OK."""

    cases: int
    expected: int
    failed: list[str]
    non_strict: list[str]
    wrong_close: list[str]

    @property
    def missing(self) -> bool:
        return self.cases < self.expected

    @property
    def good(self) -> bool:
        return not (self.failed or self.non_strict or self.wrong_close or self.missing)


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


def judge(cases: Mapping[str, Mapping[str, Any]], expected: int) -> Result:
    """From a report's cases of one client. INFORMATIONAL is no verdict; all that is neither it nor OK counts."""

    def those(key: str, *verdicts: str) -> list[str]:
        return sorted((name for name, case in cases.items() if case[key] in verdicts), key=_order)

    fine = {"OK", "INFORMATIONAL"}
    failed = {str(case["behavior"]) for case in cases.values()} - fine - {"NON-STRICT"}
    closes = {str(case["behaviorClose"]) for case in cases.values()} - fine
    return Result(
        len(cases),
        expected,
        those("behavior", *failed),
        those("behavior", "NON-STRICT"),
        those("behaviorClose", *closes),
    )


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server; report() is for after each client's last case."""

    url: str
    folder: Path

    def report(self, agent: str, expected: int) -> Result:
        index = self.folder / "index.json"
        return judge(json.loads(index.read_text()).get(agent, {}) if index.exists() else {}, expected)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.1)
    raise RuntimeError(f"wstest does not listen; what it said is in {log}")


@contextlib.contextmanager
def serve(wstest: Path, suite: Suite, folder: Path) -> Iterator[Server]:
    """The suite's server, playing these cases, until the block ends; its reports go to folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = _free_port()
    url = f"ws://127.0.0.1:{port}"
    spec, log = folder / "spec.json", folder / "wstest.log"
    spec.write_text(
        json.dumps({
            "url": url, "outdir": str(folder), "cases": suite.cases, "exclude-cases": suite.exclude,
            "exclude-agent-cases": {},
        })
    )  # fmt: skip
    with log.open("wb") as output:
        # No page over HTTP beside it (-u 0): the reports are files.
        command = [str(wstest), "--mode", "fuzzingserver", "--spec", str(spec), "-u", "0"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            _wait_listening(process, port, log)
            yield Server(url, folder)
        finally:
            process.terminate()
            process.wait(10)
