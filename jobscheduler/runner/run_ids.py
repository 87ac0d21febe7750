"""The ids of runs: unique, and not to be guessed, because processes are known by them."""

from __future__ import annotations

import os
from collections import deque

BYTES = 6
"""Of an id, which is written in twice as many digits."""

_AT_ONCE = 4096  # bytes; each question to the system hands on the interpreter's lock, so not one for each run

_ready: deque[str] = deque()


def new_run_id() -> str:
    """Return an id that no other run has. May be called from any thread."""
    while True:
        try:
            return _ready.popleft()
        except IndexError:
            text = os.urandom(_AT_ONCE).hex()
            size = 2 * BYTES
            _ready.extend(text[start : start + size] for start in range(0, len(text) - size + 1, size))


os.register_at_fork(after_in_child=_ready.clear)
