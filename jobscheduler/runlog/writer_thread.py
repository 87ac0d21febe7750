"""The thread that writes the log: it takes entries from the queue, a batch at a time, and appends their lines.

A thread whose call of the file hangs is left to that call, and another one replaces it (`file_calls`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import chain, groupby

from jobscheduler.model import EventLogger, Level
from jobscheduler.runlog.backlog import RETRY_S, Backlog
from jobscheduler.runlog.entry_queue import EntryQueue, QueuedEntries
from jobscheduler.runlog.file_calls import Superseded
from jobscheduler.runlog.line_encoder import LineEncoder
from jobscheduler.runlog.sync_thread import SyncThread
from jobscheduler.runlog.target import LogTarget

REOPEN_CHECK_S = 5.0  # seconds between two checks of the file's name while nothing is written
LATE_BATCH_S = 1.0  # seconds; a batch that took longer was late
WRITE_TIMEOUT_S = 10.0  # seconds that the end waits for the thread

_CHECK_INTERVAL_S = 0.1  # seconds between two checks of the file at the end


class WriterThread:
    """The writer's thread, and the thread that has the disk keep what it wrote.

    `is_behind` is set by a caller whose entry was not written in time, and forgotten when the thread has caught up.
    """

    def __init__(
        self,
        file: LogTarget,
        queue: EntryQueue,
        encoder: LineEncoder,
        clock: Callable[[], datetime],
        log_event: EventLogger,
    ) -> None:
        self._queue = queue
        self._encoder = encoder
        self._sync = SyncThread(file, log_event)
        self._backlog = Backlog(file, encoder, clock, on_written=self._sync.request)
        self._batch: list[QueuedEntries] = []
        self._busy_since = 0.0  # monotonic; 0 while the thread waits for entries
        self.is_behind = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)

    def start(self) -> None:
        """Start both threads."""
        self._thread.start()
        self._sync.start()

    def close(self) -> None:
        """Wait until the queue, which was closed, is written; close the file unless it does not answer."""
        self._backlog.prepare_end(time.monotonic())
        until = time.monotonic() + WRITE_TIMEOUT_S
        while self._thread.is_alive() and time.monotonic() < until:
            self._thread.join(_CHECK_INTERVAL_S)
            self.check_file(time.monotonic())
        self._sync.close()
        if self._thread.is_alive():
            self._backlog.abandon(len(self._queue))
        elif not self._backlog.is_silent():
            self._sync.join()
            self._backlog.close()

    @property
    def lines_lost(self) -> int:
        """How many lines were never written; known when it was closed."""
        return self._backlog.lines_lost

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def busy_for(self) -> float:
        """Return for how many seconds the thread has been at one batch; 0 when it waits for entries."""
        since = self._busy_since
        return time.monotonic() - since if since else 0.0

    def is_failing(self) -> bool:
        """Return whether the file cannot be written at present, so that lines wait."""
        return self._backlog.is_failing()

    def is_silent(self) -> bool:
        """Return whether the file, or its disk, does not answer at present."""
        return self._backlog.is_silent() or self._sync.is_silent()

    def is_blocked(self) -> bool:
        """Return whether lines wait for the file, because it cannot be written or does not answer."""
        return self._backlog.is_failing() or self._backlog.is_silent()

    def pending_bytes(self) -> int:
        """Return how many bytes wait for the file."""
        return self._backlog.pending_bytes()

    def check_file(self, now: float) -> None:
        """Replace the writer's thread or the sync thread if its call of the file hangs.

        Call it regularly (monotonic seconds).
        """
        if self._backlog.check(now):
            self._thread = threading.Thread(target=self._take_over, name="log", daemon=True)
            self._thread.start()
        if self._sync.check(now) and not self._backlog.is_in_call():  # else the writer soon logs more about the file
            self._sync.report_silence()

    # -- on the thread

    def _take_over(self) -> None:
        """Write in place of the writer that is left to its call of the file. Its batch is in the backlog already."""
        self._busy_since = time.monotonic()
        self._backlog.fail(is_logged=self._sync.hand_over_report())
        self._finish(self._batch)
        self._write_all()

    def _write_all(self) -> None:
        with suppress(Superseded):
            while not self._queue.has_ended:
                self._batch = items = self._queue.next_batch(REOPEN_CHECK_S if self._backlog.is_empty() else RETRY_S)
                self._busy_since = time.monotonic()
                self._write_batch(items)
                self._finish(items)
            self._backlog.finish()

    def _write_batch(self, items: list[QueuedEntries]) -> None:
        for is_checkpoint, group in groupby(items, lambda item: item.is_checkpoint):
            lines = self._encoder.encode(chain.from_iterable(item.entries for item in group))
            self._backlog.add(lines, is_checkpoint=is_checkpoint)
        if self._queue.omitted:
            self._backlog.add_event(Level.WARNING, "log.behind", lost=self._queue.take_omitted())
        self._backlog.flush()

    def _finish(self, items: list[QueuedEntries]) -> None:
        """Release the callers that wait: their entries are written, or in the backlog."""
        for item in items:
            if item.on_written is not None:
                item.on_written()
        self._batch = []
        if self.is_behind and not self._queue and time.monotonic() - self._busy_since < LATE_BATCH_S:
            self.is_behind = False
        self._busy_since = 0.0
