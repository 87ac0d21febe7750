"""The lines of the log that wait for the database, in batches whose size follows what it takes."""

from __future__ import annotations

from collections import deque
from itertools import islice

from jobscheduler.database.log_rows import Copied

MAX_QUEUED_LINES = 100_000  # lines that are kept for the table

MAX_QUEUED_BYTES = 16 * 1024 * 1024  # bytes that these lines may have together

BATCH_SIZE = 2_000  # lines that are written at once

BATCH_BYTES = 512 * 1024  # bytes that these lines may have together, if they are more than one


class LineQueue:
    """A bounded queue of lines. Lock: its owner's."""

    def __init__(self, max_lines: int) -> None:
        self._max_lines = max_lines
        self._lines: deque[Copied] = deque()
        self._bytes = 0
        self._batch_size = BATCH_SIZE
        self.missed = 0  # lines for which there was no room

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, line: Copied) -> bool:
        """Append a line if there is room; return whether a thread that waits for a batch should look now."""
        if len(self._lines) >= self._max_lines or self._bytes + len(line[1]) > MAX_QUEUED_BYTES:
            self.missed += 1
            return False
        self._lines.append(line)
        self._bytes += len(line[1])
        return len(self._lines) == 1 or len(self._lines) % BATCH_SIZE == 0

    def is_batch_full(self) -> bool:
        """Return whether there are enough lines for a batch."""
        return len(self._lines) >= self._batch_size

    def batch(self, max_bytes: int) -> list[Copied]:
        """Return the first lines, at least one if there is any. They stay in the queue."""
        lines: list[Copied] = []
        room = max_bytes
        for line in islice(self._lines, self._batch_size):
            room -= len(line[1])
            if lines and room < 0:
                break
            lines.append(line)
        return lines

    def shrink_batch(self, lines: int) -> None:
        """Make the next batch half as large as this one."""
        self._batch_size = max(1, lines // 2)

    def remove(self, lines: int) -> None:
        """Remove the first lines, which the database has; the next batch may be larger again."""
        self._batch_size = min(BATCH_SIZE, self._batch_size * 2)
        for _ in range(lines):
            self._bytes -= len(self._lines.popleft()[1])

    def take_missed(self) -> int:
        """Return how many lines found no room, and count anew."""
        missed, self.missed = self.missed, 0
        return missed
