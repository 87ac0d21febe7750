"""Whose turn it is to start a command.

A start is two hundred microseconds of Python with a dozen system calls in it, and at each of them the interpreter
changes to another thread that wants it. When dozens of commands are due at once this changing costs as much as the
work. So the threads go through it one after the other, and wait for their turn where waiting costs nothing.
"""

from __future__ import annotations

import threading
from types import TracebackType

PATIENCE = 0.05
"""Seconds after which one goes ahead all the same: who has the turn may be held up by a slow disk or directory."""

_lock = threading.Lock()


class Turn:
    """A context manager: surround what is better done by one thread at a time. Nothing depends on being alone."""

    __slots__ = ("_alone",)

    def __enter__(self) -> None:
        self._alone = _lock.acquire(timeout=PATIENCE)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._alone:
            _lock.release()
