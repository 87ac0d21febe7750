"""The last records of a log without a file, in memory: the page shows them, and they end with the process."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime
from itertools import islice

from jobscheduler.model import LogEntry, Record
from jobscheduler.runlog.bounded_query import Newest
from jobscheduler.runlog.filter import LineMatcher, LogFilter, time_of

MAX_BYTES = 8 * 1024 * 1024  # of lines that are kept


class RecentLines:
    """Keeps the lines of the last records. `observe` never raises and never waits for long."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped_until: bytes | None = None

    def observe(self, entry: LogEntry, line: bytes) -> None:
        """Keep the line of a record, in place of the oldest ones."""
        if not isinstance(entry, Record):
            return
        with self._lock:
            self._lines.append(line.removesuffix(b"\n"))
            self._bytes += len(line)
            while self._bytes > self._max_bytes:
                oldest = self._lines.popleft()
                self._bytes -= len(oldest) + 1
                self._dropped_until = time_of(oldest)

    def newest(self, wanted: LogFilter, most: int) -> Newest:
        """Return the newest wanted lines, at most `most`, newest first."""
        with self._lock:
            lines, dropped = [*reversed(self._lines)], self._dropped_until
        found = [*islice(LineMatcher(wanted).of(lines), most)]
        return Newest(found, None if dropped is None else datetime.fromisoformat(dropped.decode("ascii")))
