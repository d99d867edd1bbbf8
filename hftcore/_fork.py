"""What a process has opened, its children after fork leave alone: rings, sockets and TLS go on in the parent."""

from __future__ import annotations

import os
import weakref
from typing import Any

__all__ = ["foreign", "watch"]

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_process = os.getpid()


def watch(thing: Any) -> None:
    """Has ``thing._forked(pid)`` called in every child that this process forks, with the process that opened it."""
    _watched.add(thing)


def foreign(what: str, process: int) -> RuntimeError:
    """The exception, not raised, of a call on what another process opened."""
    return RuntimeError(f"this {what} was opened by process {process}; a fork cannot use it: open one after the fork")


def _after_in_child() -> None:
    global _process
    parent, _process = _process, os.getpid()
    for thing in list(_watched):
        thing._forked(parent)
    _watched.clear()


os.register_at_fork(after_in_child=_after_in_child)
