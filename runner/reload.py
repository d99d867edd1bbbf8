"""SIGUSR1: the addresses are read again, and the running engine gets them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from hftcore import Engine, WatchTable
from hftcore.errors import HftError


class Reload:
    """Replaces the engine's watch table when SIGUSR1 comes; a thread reads it, so that events are read meanwhile.

    tell: is given the reason if the table cannot be used; the earlier one then stays.
    """

    def __init__(self, engine: Engine, load: Callable[[], WatchTable], tell: Callable[[str], object]) -> None:
        self._engine = engine
        self._load = load
        self._tell = tell
        self._wanted = False
        self._thread: threading.Thread | None = None

    def _want(self, _number: int, _frame: FrameType | None) -> None:
        self._wanted = True

    @contextlib.contextmanager
    def armed(self) -> Iterator[Reload]:
        """While inside, the signal counts; at the end a reading that is under way is awaited."""
        before = signal.signal(signal.SIGUSR1, self._want)
        try:
            yield self
        finally:
            signal.signal(signal.SIGUSR1, before)
            if self._thread is not None:
                self._thread.join()

    def step(self) -> None:
        """Begins to read, if a signal has come and no reading is under way."""
        if self._wanted and (self._thread is None or not self._thread.is_alive()):
            self._wanted = False
            self._thread = threading.Thread(target=self._replace, name="hft-reload", daemon=True)
            self._thread.start()

    def _replace(self) -> None:
        try:
            self._engine.replace_watch(self._load())
        except (HftError, OSError) as error:
            self._tell(f"the addresses stay as they were: {error}")
