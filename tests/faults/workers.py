"""Workers from the outside: started, watched, and their last word taken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from typing import Any

import buildconf
from tests.faults.sessions import STEP_S

FACES = ("handler", "asyncio", "blocking")
PEERS = ("websockets",)


class Worker:
    """One process that plays sessions through a face; join() waits for it and tells all that is wrong."""

    def __init__(self, face: str, backend: str, seconds: float, seed: int) -> None:
        self.face, self.backend, self.seconds, self.seed = face, backend, seconds, seed
        self.latest: dict[str, Any] = {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by join()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker", face, "--backend", backend, "--seconds", str(seconds),
             "--seed", str(seed)],
            cwd=buildconf.ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.latest = json.loads(line)

    @property
    def running(self) -> bool:
        return self._reader.is_alive()

    def kill(self) -> None:
        self._process.kill()
        self.join()

    def join(self) -> list[str]:
        """Waits for its end, which it must come to by itself. What is wrong, one line each."""
        try:
            status: int | str = self._process.wait(self.seconds + 12 * STEP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = f"{self._process.wait()}: it hung"
        self._reader.join()
        self._errors.seek(0)
        said = self._errors.read()
        self._errors.close()
        problems = [str(problem) for problem in self.latest.get("problems", [])]
        if status != 0 or not self.latest.get("done"):
            problems.append(f"the worker ended with status {status}: {said[-4000:]}")
        return [f"{self.face} {self.backend} --seed {self.seed}: {problem}" for problem in problems]
