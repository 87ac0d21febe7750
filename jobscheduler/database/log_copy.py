"""The copy of the log's lines in a table: from a bounded queue, in batches, on a thread and a connection of its own.

Nothing waits for it. While the database is away, lines are kept as far as the queue goes; those beyond are counted,
and logged when it is back. A line may be in the table twice if the connection broke just as its batch was taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from jobscheduler.database.copy_report import CopyReport
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.line_queue import BATCH_BYTES, MAX_QUEUED_LINES, LineQueue
from jobscheduler.database.log_rows import Copied, LogRows, RowsRefused
from jobscheduler.model import EventLogger, LogEntry
from jobscheduler.util.backoff import Backoff
from jobscheduler.util.text import format_error

BATCH_WAIT_S = 0.2  # seconds that the first line of a batch waits for others, unless the batch is full before

FIRST_BACKOFF_S = 0.5  # seconds, doubled with each failure

MAX_BACKOFF_S = 30.0  # seconds, the longest pause after failures

SHUTDOWN_WAIT_S = 3.0  # seconds that the end waits for a database that takes nothing


class LogCopier:
    """Copies lines into `jm_syslog`. A context manager: leaving it writes what is waiting, if the database takes it."""

    def __init__(
        self,
        database: Database,
        log_event: EventLogger,
        *,
        queue: int = MAX_QUEUED_LINES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log_event` logs failures of the copy and their ends; `queue` is the number of lines that are kept."""
        self._now = now
        self._rows = LogRows(database)
        self._queue = LineQueue(queue)
        self._report = CopyReport(log_event, now)
        self._backoff = Backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        self._changed = threading.Condition()
        self._is_stopping = self._has_given_up = False
        self._deadline: float | None = None  # when the thread has to end; None while the copy is open
        self._thread = threading.Thread(target=self._work, name="syslog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        wait = 0.0 if self._has_given_up else SHUTDOWN_WAIT_S
        with self._changed:
            self._deadline = self._now() + wait
            self._changed.notify_all()
        self._thread.join(wait + 0.5)

    def report_unsent(self, further: int = 0) -> None:
        """Wait a moment for the last lines; if the database does not take them, log how many it lacks, and give up.

        The service is to end: `further` lines come after the one that says so. It counts what it was given, so the log
        has to have caught up before.
        """
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            if not self._report.is_unavailable:
                self._changed.wait_for(lambda: not self._queue or self._report.is_unavailable, SHUTDOWN_WAIT_S)
            self._has_given_up = bool(self._queue)
            unsent = len(self._queue) + self._queue.missed + self._report.refused
        own = 1 + further if unsent and self._has_given_up else 0
        self._report.close(unsent + own)

    def put(self, entry: LogEntry, line: bytes) -> None:
        """Take a line; never waits for the database."""
        with self._changed:
            if self._queue.put((entry, line)):
                self._changed.notify_all()

    # -- on its thread

    def _work(self) -> None:
        while self._has_work():
            try:
                self._write()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as error:  # not of the database: the thread has to go on
                self._fail(format_error(error))
            else:
                self._restore()
        self._rows.drop()

    def _has_work(self) -> bool:
        """Wait for lines, and after a failure for its pause as well; False when it is to end and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing() or (self._queue and not self._has_given_up))
            if self._backoff.failures:
                self._changed.wait_for(self._is_closing, timeout=self._backoff.pause())
            elif not self._is_stopping:
                self._changed.wait_for(self._is_batch_due, timeout=BATCH_WAIT_S)
            if self._deadline is None:
                return True
            if self._backoff.failures and self._queue:
                self._changed.wait(min(BATCH_WAIT_S, max(0.0, self._deadline - self._now())))
            return bool(self._queue) and not self._has_given_up and self._now() < self._deadline

    def _is_closing(self) -> bool:
        return self._deadline is not None

    def _is_batch_due(self) -> bool:
        return self._is_closing() or self._is_stopping or self._queue.is_batch_full()

    def _write(self) -> None:
        """Write one batch; what is there stays until the database has it.

        A batch that is refused is written by halves, so that in the end a line that no database takes stands alone.
        """
        with self._changed:
            max_bytes = self._rows.max_statement_bytes(BATCH_BYTES)
            batch = [] if self._has_given_up else self._queue.batch(max_bytes)
        if not batch or not self._is_taken(batch):
            return
        with self._changed:
            self._queue.remove(len(batch))
            self._changed.notify_all()

    def _is_taken(self, batch: list[Copied]) -> bool:
        """Write a batch; return False if it is to be written by halves. A single refused line counts as taken."""
        try:
            self._rows.write(batch)
        except RowsRefused:
            if len(batch) > 1:
                self._queue.shrink_batch(len(batch))
                return False
            if not self._rows.write_plain(batch[0]):
                self._report.note_refused()
        except Unavailable:
            self._queue.shrink_batch(len(batch))  # it may be what breaks the connection
            raise
        return True

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._rows.drop()
        self._backoff.fail()
        is_lasting = self._backoff.failures > 1  # a server that was restarted takes the very next try
        if is_lasting and not self._report.is_unavailable:
            self._report.fail(problem, help_)
            with self._changed:
                self._changed.notify_all()

    def _restore(self) -> None:
        self._backoff.reset()
        with self._changed:
            missed = self._queue.take_missed()
        self._report.restore(missed)
