"""Write events about alerts to the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from jobscheduler.alerts.alert_queues import MAX_NAMED_JOBS
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.model import Event, Level, LogFields
from jobscheduler.runner import AttemptResult, tail
from jobscheduler.util.text import format_error


class AlertLog:
    """Writes events about alerts. An exception of `write` ends no thread: the log reports its own errors.

    Thread: any.
    """

    def __init__(self, write: Callable[[Event], object], clock: Callable[[], datetime]) -> None:
        """`clock` gives the time of the events, in UTC."""
        self._write = write
        self._clock = clock

    def result(self, due: PendingAlert, result: AttemptResult, reason: str | None, duration: float) -> None:
        """Log that an alert was sent, or that it failed for this reason; `duration` is seconds."""
        seconds = round(duration, 3)
        if result.traceback:
            self._about(due, Level.ERROR, "task.crashed", (("traceback", result.traceback),))
        if reason is None:
            self._about(due, Level.INFO, "alert.sent", (("duration", seconds), *result.details))
            return
        output: LogFields = (("output", tail(result.output)),) if result.output else ()
        values: LogFields = (("duration", seconds), ("reason", reason), *result.details, *output)
        self._about(due, Level.WARNING, "alert.failed", values)

    def dropped(self, jobs: Sequence[str], reason: str) -> None:
        """Log that the alerts of these jobs are not sent, in as many lines as their names need."""
        for start in range(0, len(jobs), MAX_NAMED_JOBS):
            part = jobs[start : start + MAX_NAMED_JOBS]
            values: LogFields = (("count", len(part)), ("reason", reason), ("jobs", ",".join(dict.fromkeys(part))))
            self._event(Level.WARNING, "alert.dropped", values)

    def crash(self, error: Exception) -> None:
        """Log an error of a task."""
        self._event(Level.ERROR, "task.crashed", (("error", format_error(error)),))

    def trouble(self, problem: str) -> None:
        """Log an error of ours in deciding about alerts, or what was lost."""
        self._event(Level.WARNING, "alert.trouble", (("problem", problem),))

    def _about(self, due: PendingAlert, level: Level, name: str, values: LogFields) -> None:
        record = due.alert.record
        subject: LogFields = (("count", len(due.jobs)),) if due.jobs else (("job_id", record.job_id),)
        run: LogFields = () if record.run_id is None or due.jobs else (("run_id", record.run_id),)
        changes: LogFields = (("changes", due.changes),) if due.changes > 1 else ()
        self._event(level, name, (*subject, ("on", due.alert.on), *run, *changes, *values))

    def _event(self, level: Level, name: str, values: LogFields) -> None:
        with suppress(Exception):  # the log reports its own trouble, and the alert goes on
            self._write(Event(self._clock(), level, name, values))
