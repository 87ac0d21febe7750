"""Make run ids: unique, and impossible to guess, because processes are identified by them."""

from __future__ import annotations

import os
from collections import deque

BYTES = 6  # of an id, which has twice as many hexadecimal digits

_AT_ONCE = 4096  # bytes for many ids; each system call releases the interpreter lock, so one for each run is costly

_ready: deque[str] = deque()


def new_run_id() -> str:
    """Return an id that no other run has. Thread: any."""
    while True:
        try:
            return _ready.popleft()
        except IndexError:
            text = os.urandom(_AT_ONCE).hex()
            size = 2 * BYTES
            _ready.extend(text[start : start + size] for start in range(0, len(text) - size + 1, size))


os.register_at_fork(after_in_child=_ready.clear)
