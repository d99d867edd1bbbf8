"""The measuring end of a client written in Python; what meter.h is for the others, and the same turns."""

from __future__ import annotations

import itertools
import sys
from array import array
from time import perf_counter_ns


class Meter:
    """Turns, stamps and samples."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._samples = {"rtt": array("Q"), "send": array("Q")}
        self._stamps = array("Q", bytes(8 * 100_000))
        self._at = 0
        self._end = 0
        self._skip = 0
        self.timing_send = False

    def turn(self, word: str) -> bool:
        """Says `word`, waits for a line and begins its turn; False: that was the end, and the samples are written."""
        print(word, flush=True)
        kind, *numbers = sys.stdin.readline().split() or ["end"]
        if kind == "end":
            for name, samples in self._samples.items():
                with open(f"{self._path}.{name}", "wb") as file:
                    samples.tofile(file)
            return False
        self._skip, count = map(int, numbers)
        self.timing_send = kind == "send"
        self._at, self._end = 0, self._skip + count
        self._stamps[0] = perf_counter_ns()
        return True

    def arrived(self) -> bool:
        """Where a message arrived: whether to send again."""
        self._at += 1
        if not self.timing_send:
            self._stamps[self._at] = perf_counter_ns()
        if self._at < self._end:
            return True
        if not self.timing_send:
            stamps = self._stamps[self._skip : self._end + 1].tolist()
            self._samples["rtt"].extend(after - before for before, after in itertools.pairwise(stamps))
        return False

    def sent(self, before: int) -> None:
        """Where the call that sends, begun at `before`, has returned."""
        if self._at >= self._skip:
            self._samples["send"].append(perf_counter_ns() - before)
