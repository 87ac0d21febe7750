"""Report runs to the log. No fault of the log fails a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from jobscheduler.model import Event, Level, LogEntry, Record
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

LOG_WAIT_S = 1.0  # that an attempt waits until its `run.started` is written

LogThen = Callable[[Sequence[Event], Callable[[], object]], object]  # writes, then calls; does not wait


class RunReporter:
    """Passes the records and events of runs to the log, and ignores its exceptions.

    `record` gets the one record of each run, and `emit` gets the events. `clock` returns the UTC time for both.
    `announce` writes the `run.started` of attempts that are about to begin, then calls its second argument.
    An attempt waits for that no longer than `LOG_WAIT_S`; after that, `on_behind` is called.

    Thread: any.
    """

    def __init__(
        self,
        record: Callable[[Record], object],
        emit: Callable[[Event], object],
        *,
        clock: Callable[[], datetime] = utc_now,
        announce: LogThen | None = None,
        on_behind: Callable[[], object] = lambda: None,
    ) -> None:
        self.clock = clock
        self._record = record
        self._emit = emit
        self._log_then = announce or self._emit_each
        self._on_behind = on_behind

    def emit(self, entry: LogEntry) -> None:
        """Pass a record or an event on to the log."""
        try:
            _ = self._record(entry) if isinstance(entry, Record) else self._emit(entry)
        except Exception:  # the log reports its own trouble
            return

    def log_then(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        """Write the lines of attempts that are about to begin, then call `then` on any thread."""
        try:
            self._log_then(events, then)
        except Exception:  # as in `emit`
            then()

    def _emit_each(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        for event in events:
            self._emit(event)
        then()

    def log_and_wait(self, event: Event) -> None:
        """Write the line of an attempt that is about to begin, and wait for it up to `LOG_WAIT_S`."""
        written = threading.Lock()
        written.acquire()
        self.log_then((event,), written.release)
        if not written.acquire(timeout=LOG_WAIT_S):
            self.warn_behind()

    def warn_behind(self) -> None:
        """Report that a run began before its line was written."""
        with suppress(Exception):
            self._on_behind()

    def report_error(self, error: Exception) -> None:
        """Log an error of a task, or of ours, that does not end a run."""
        values = (("error", format_error(error)),)
        self.emit(Event(self.clock(), Level.ERROR, "task.crashed", values))
