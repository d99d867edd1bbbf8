"""Ctrl-C as a flag."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Turns Ctrl-C, SIGTERM and the loss of the terminal into a flag, so that the engine is stopped cleanly.

    A second one raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.happened = False

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.happened:
            raise KeyboardInterrupt
        self.happened = True

    @contextlib.contextmanager
    def armed(self) -> Iterator[Interrupt]:
        """While inside, the first signal sets the flag."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
