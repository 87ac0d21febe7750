"""Whose turn it is to start a command, or to close one that has ended.

That is a few hundred microseconds of Python with twenty system calls in it, and at each of them the interpreter changes
to another thread that wants it. When dozens of commands are due at once this changing costs as much as the work. So
the threads go through it one after the other, and wait for their turn where waiting costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.05
"""Seconds after which one goes ahead all the same: who has the turn may be held up by a slow disk or directory."""

_lock = threading.Lock()


@contextmanager
def turn() -> Iterator[None]:
    """Surround what is better done by one thread at a time. Nothing depends on being alone."""
    alone = _lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if alone:
            _lock.release()
