"""Show on a terminal how far the log has been read, when that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from jobscheduler.runlog.filter import LogLine

SHOW_AFTER_S = 1.0  # seconds before a terminal shows the progress of reading


class ReadProgress:
    """Show the progress of reading on a terminal, when it takes long."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._is_wanted = sys.stderr.isatty()
        self._is_shown = False

    def __call__(self, done: int, whole: int) -> None:
        """Show the progress, at most five times a second."""
        now = time.monotonic()
        if self._is_wanted and now - self._started > SHOW_AFTER_S and now - self._printed > 0.2:
            self._printed, self._is_shown = now, True
            sys.stderr.write(f"\rreading the log: {100 * done // max(1, whole)} % ")
            sys.stderr.flush()

    def scanned(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        """Yield the lines; hide the progress at the first one."""
        for line in lines:
            self.end()
            yield line
        self.end()

    def end(self) -> None:
        """Erase the progress."""
        self._is_wanted = False
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write("\r" + " " * 30 + "\r")
            sys.stderr.flush()
