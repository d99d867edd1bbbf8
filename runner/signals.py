"""Ctrl-C as a flag."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Turns Ctrl-C and SIGTERM into a flag, so that the engine is stopped cleanly; a second one raises."""

    def __init__(self) -> None:
        self.happened = False

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.happened:
            raise KeyboardInterrupt
        self.happened = True

    @contextlib.contextmanager
    def armed(self) -> Iterator[Interrupt]:
        """While inside, the first signal sets the flag."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
