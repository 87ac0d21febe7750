"""The copy of the log's lines in a table: from a bounded queue, in batches, on a thread and a connection of its own.

It is never waited for. While the database is away, lines are kept as far as the queue goes; those beyond are counted,
and told when it is back. A line may stand there twice if the connection broke just as its batch was taken.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Self

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.log_rows import Copied, LogRows, RowsRefused
from jobscheduler.model import EventLogger, Level, LogEntry, LogValue

MAX_QUEUED_LINES = 100_000
"""How many lines are kept for the table at most."""

MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""How many bytes these lines may have together."""

BATCH_SIZE = 2_000
"""How many lines are written at once at most."""

BATCH_BYTES = 512 * 1024
"""How many bytes these lines have together at most, if they are more than one."""

BATCH_WAIT_S = 0.2
"""How long the first line of a batch waits for others, in seconds, unless the batch is full before."""

MAX_BACKOFF_S = 30.0
"""The longest pause after failures, in seconds."""

REFUSAL_INTERVAL_S = 60.0
"""How often lines that the database refuses are told at most, in seconds."""

SHUTDOWN_WAIT_S = 3.0
"""How long the end waits for a database that takes nothing, in seconds."""


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
        self._max_lines = queue
        self._now = now
        self._log_event = log_event
        self._waiting: deque[Copied] = deque()
        self._bytes = self._missed = self._refused = 0
        self._is_unavailable = self._is_stopping = self._has_given_up = False
        self._next_refusal = 0.0
        self._failures = 0
        self._size = BATCH_SIZE
        self._changed = threading.Condition()
        self._closing = False
        self._until = 0.0
        self._lines = LogRows(database)
        self._thread = threading.Thread(target=self._work, name="syslog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        ending = 0.0 if self._has_given_up else SHUTDOWN_WAIT_S
        with self._changed:
            self._closing, self._until = True, self._now() + ending
            self._changed.notify_all()
        self._thread.join(ending + 0.5)

    def report_unsent(self, further: int = 0) -> None:
        """Wait a moment for the last lines; if the database takes them not, say how many it lacks, and give up.

        The service is to end: `further` lines come after the one that says so. It counts what it was given, so the log
        has to have caught up before.
        """
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            if not self._is_unavailable:
                self._changed.wait_for(lambda: not self._waiting or self._is_unavailable, SHUTDOWN_WAIT_S)
            self._has_given_up = bool(self._waiting)
            missed = len(self._waiting) + self._missed + self._refused
        log_event, self._log_event = self._log_event, _ignore_event
        if missed:
            own = 1 + further if self._has_given_up else 0
            problem = "the service ends before the database has taken all lines"
            log_event(Level.WARNING, "database.log_lost", problem=problem, lines_not_kept=missed + own)

    def put(self, entry: LogEntry, line: bytes) -> None:
        """Take a line; never waits for the database."""
        with self._changed:
            if len(self._waiting) >= self._max_lines or self._bytes + len(line) > MAX_QUEUED_BYTES:
                self._missed += 1
                return
            self._waiting.append((entry, line))
            self._bytes += len(line)
            if len(self._waiting) == 1 or len(self._waiting) % BATCH_SIZE == 0:
                self._changed.notify_all()

    # -- on its thread

    def _work(self) -> None:
        while self._has_work():
            try:
                self._write()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as fault:  # not of the database: the thread has to go on
                self._fail(f"{type(fault).__name__}: {fault}")
            else:
                self._restore()
        self._lines.drop()

    def _has_work(self) -> bool:
        """Wait for lines, and after a failure for its pause as well; False when it is to end and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or (self._waiting and not self._has_given_up))
            if self._failures:
                self._changed.wait_for(lambda: self._closing, timeout=min(2.0**self._failures / 2, MAX_BACKOFF_S))
            elif not self._is_stopping:
                self._changed.wait_for(self._is_batch_full, timeout=BATCH_WAIT_S)
            if self._closing and self._failures and self._waiting:
                self._changed.wait(min(BATCH_WAIT_S, max(0.0, self._until - self._now())))
            if not self._closing:
                return True
            return bool(self._waiting) and not self._has_given_up and self._now() < self._until

    def _is_batch_full(self) -> bool:
        return self._closing or self._is_stopping or len(self._waiting) >= self._size

    def _write(self) -> None:
        """Write one batch; what is there stays until the database has it.

        One that is refused is written by halves, so that in the end a line that no database takes stands alone.
        """
        with self._changed:
            batch = [] if self._has_given_up else self._batch()
        if not batch:
            return
        try:
            self._lines.write(batch)
        except RowsRefused:
            if len(batch) > 1:
                self._size = len(batch) // 2
                return
            self._refused += not self._lines.write_plain(batch[0])
        except Unavailable:
            self._size = max(1, len(batch) // 2)  # it may be what breaks the connection
            raise
        self._size = min(BATCH_SIZE, self._size * 2)
        with self._changed:
            for _ in batch:
                self._bytes -= len(self._waiting.popleft()[1])
            self._changed.notify_all()

    def _batch(self) -> list[Copied]:
        found: list[Copied] = []
        room = self._lines.max_statement_bytes(BATCH_BYTES)
        for one in islice(self._waiting, self._size):
            room -= len(one[1])
            if found and room < 0:
                break
            found.append(one)
        return found

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._lines.drop()
        self._failures = min(self._failures + 1, 20)
        if not self._is_unavailable and self._failures > 1:  # a server that was restarted takes the very next try
            with self._changed:
                self._is_unavailable = True
                self._changed.notify_all()
            self._log_event(Level.WARNING, "database.log_lost", problem=problem, help=help_)

    def _restore(self) -> None:
        self._failures = 0
        with self._changed:
            missed, self._missed = self._missed, 0
        if self._is_unavailable or missed:
            self._is_unavailable = False
            self._log_event(Level.WARNING if missed else Level.INFO, "database.log_restored", lines_not_kept=missed)
        if self._refused and self._now() >= self._next_refusal:
            refused, self._refused = self._refused, 0
            self._next_refusal = self._now() + REFUSAL_INTERVAL_S
            problem = "the database refuses lines of the log, and takes others"
            self._log_event(Level.WARNING, "database.lines_refused", problem=problem, lines_not_kept=refused)


def _ignore_event(level: Level, name: str, /, **values: LogValue | None) -> None:
    """Log nothing: the last event about the copy has been logged."""
