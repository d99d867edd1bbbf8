"""Names to addresses, off the reactor's thread."""

from __future__ import annotations

import ipaddress
import os
import select
import signal
import threading
from collections.abc import Callable

from hftcore.endpoints import resolve

Address = tuple[int, bytes, int, int, int]  # family, packed address, scope id, port, network group (0: by itself)


class Resolver:
    """A thread that answers a reactor's questions for addresses.

    fd: an eventfd, readable when there are questions. next_slot: takes the next question, None = there is no more.
    endpoint_of: a slot's host and port, None = somebody else
    answers. put: takes the answer, from any thread, [] = not found. It ends once `finished`
    is set and the fd written to.
    """

    def __init__(
        self,
        fd: int,
        finished: threading.Event,
        next_slot: Callable[[], int | None],
        endpoint_of: Callable[[int], tuple[str, int] | None],
        put: Callable[[int, list[Address]], None],
    ) -> None:
        self._fd = fd
        self._finished = finished
        self._next_slot = next_slot
        self._endpoint_of = endpoint_of
        self._put = put
        self._open: set[int] = set()  # slots whose names are being resolved
        self._thread = threading.Thread(target=self._loop, name="hft-resolver", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread's end; names being resolved are not waited for."""
        self._thread.join()

    def _loop(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self._finished.is_set():
            poll.poll()
            try:
                os.eventfd_read(self._fd)
            except BlockingIOError:
                continue
            while not self._finished.is_set() and (slot := self._next_slot()) is not None:
                self._answer(slot)

    def _answer(self, slot: int) -> None:
        """Answers in a thread of its own where that may take long: nothing waits for the slowest name server."""
        endpoint = self._endpoint_of(slot)
        if endpoint is None:
            return
        host, port = endpoint
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if slot in self._open:
                return
            self._open.add(slot)
            lookup = threading.Thread(target=self._look_up, args=(slot, host, port), name="hft-resolve", daemon=True)
            try:
                lookup.start()
            except RuntimeError:  # no more threads: as if the name had not been found
                self._close(slot, [])
        else:
            self._look_up(slot, host, port)

    def _look_up(self, slot: int, host: str, port: int) -> None:
        found: list[Address] = []
        try:
            found = [(*address, port, 0) for address in resolve(host, port)]
        except (OSError, UnicodeError):
            pass  # the reactor reports that there is no address
        finally:
            self._close(slot, found)

    def _close(self, slot: int, found: list[Address]) -> None:
        self._open.discard(slot)
        self._put(slot, found)
