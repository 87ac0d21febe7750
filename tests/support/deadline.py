"""A time limit that does not count the time in which the host's processors were too few.

A limit in seconds of the clock is a guess about the load. The kernel says how long tasks that could run had to wait for
a processor (`/proc/pressure/cpu`). That time is left out, up to a bound: on a quiet host nothing changes.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

MOST = 4.0  # times the limit, after which it is over whatever the load

_PRESSURE = Path("/proc/pressure/cpu")


class Deadline:
    """A limit of so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began, self._short = time.monotonic(), _shortage()

    def is_over(self) -> bool:
        """Return whether the time is over."""
        passed = time.monotonic() - self._began
        if passed <= self._seconds:
            return False
        return passed > MOST * self._seconds or passed - (_shortage() - self._short) > self._seconds


def _shortage() -> float:
    """Return for how many seconds tasks have waited for a processor since the host's start; 0 if that is not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(_PRESSURE.read_text("ascii").split("\n")[0].rpartition("total=")[2]) / 1e6
    return 0.0
