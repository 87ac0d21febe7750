"""The queue between the threads that write entries and the writer's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue
from typing import NamedTuple

from jobscheduler.model import LogEntry

MAX_QUEUED_ENTRIES = 100_000  # further ones are counted instead of queued

MAX_BATCH_ENTRIES = 500  # written at once

BUSY_BATCH_ENTRIES = 4  # a batch of so many means that several threads write at once
BUSY_FOR_S = 0.003  # seconds after such a batch in which others of them are expected
BATCH_WAIT_S = 0.001  # seconds that a batch may then grow: each costs several system calls and changes of thread


class QueuedEntries(NamedTuple):
    """Entries that are written with nothing in between. `on_written` is called afterwards, on the writer's thread."""

    entries: Collection[LogEntry]
    on_written: Callable[[], object] | None = None
    is_checkpoint: bool = False


class EntryQueue:
    """A bounded queue that is emptied in batches.

    Thread: any; `next_batch` and `take_omitted` the writer's.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[QueuedEntries | None] = SimpleQueue()
        self.omitted = 0  # entries that the full queue did not take, since `take_omitted`
        self._last_count = 0  # of the last batch
        self._busy_until = 0.0
        self._is_closed = False  # its end is queued
        self.has_ended = False  # the last batch was taken, and nothing follows

    def __len__(self) -> int:
        return max(0, self._queue.qsize() - (self._is_closed and not self.has_ended))

    def put(self, item: QueuedEntries) -> bool:
        """Queue entries and return True; count them and return False if the queue is full. Never wait."""
        if self._queue.qsize() >= MAX_QUEUED_ENTRIES:
            self.omitted += len(item.entries)
            return False
        self._queue.put(item)
        return True

    def close(self) -> None:
        """Let the queue end behind what is in it."""
        self._is_closed = True
        self._queue.put(None)

    def take_omitted(self) -> int:
        """Return `omitted`, and count from 0 again."""
        omitted, self.omitted = self.omitted, 0
        return omitted

    def next_batch(self, timeout: float) -> list[QueuedEntries]:
        """Wait for entries, at most `timeout` seconds, and take them; note when the queue has ended."""
        items: list[QueuedEntries] = []
        now = time.monotonic()
        if self._last_count >= BUSY_BATCH_ENTRIES:
            self._busy_until = now + BUSY_FOR_S
        if now < self._busy_until:
            time.sleep(BATCH_WAIT_S)
        try:
            item = self._queue.get(timeout=timeout)
            while item is not None and len(items) < MAX_BATCH_ENTRIES - 1:
                items.append(item)
                item = self._queue.get_nowait()
            if item is None:
                self.has_ended = True
            else:
                items.append(item)
        except Empty:  # no more entries for this batch
            pass
        self._last_count = len(items)
        return items
