"""Apply the jobs of a database to the schedule, and leave them to another service that took the database."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.database.lock_holder import DatabaseInUse
from jobscheduler.database.source import DatabaseSource
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.text import format_error


class SyncFailed(Exception):
    """The changes of the source could not be applied to the schedule."""


class ScheduleSync:
    """Applies a source to the schedule. A failure of that is none of the database: it is logged once by itself."""

    def __init__(self, sync: Callable[[], None], log_event: EventLogger) -> None:
        """`sync` raises if the source cannot be applied."""
        self._sync = sync
        self._log_event = log_event
        self._is_reported = False

    def apply(self) -> None:
        """Apply the source.

        Raises:
            SyncFailed: that failed.

        """
        try:
            self._sync()
        except Exception as error:
            raise SyncFailed(f"the reload failed: {format_error(error)}") from None
        self._is_reported = False

    def log_failure(self, error: SyncFailed) -> None:
        """Log a failure once, until the source is applied again."""
        if not self._is_reported:
            self._log_event(Level.ERROR, "database.reload_failed", problem=str(error))
        self._is_reported = True


class Handover:
    """Leaves the jobs to another service, which took the database while this one could not reach it."""

    def __init__(self, source: DatabaseSource, schedule: ScheduleSync, log_event: EventLogger) -> None:
        self._source = source
        self._schedule = schedule
        self._log_event = log_event
        self._has_yielded = False
        self.holder: DatabaseInUse | None = None

    def note_holder(self, in_use: DatabaseInUse) -> None:
        """Note that another service holds the database."""
        self.holder = in_use

    def leave_jobs(self, in_use: DatabaseInUse) -> None:
        """Stop running the jobs, if any of them may run here, and log that once."""
        if not self._source.is_read:
            self._source.set_unavailable(str(in_use), in_use.help)
            return
        if self._has_yielded:
            return
        self._log_event(Level.ERROR, "database.taken", problem=str(in_use), help=in_use.help)
        self._source.update(())
        try:
            self._schedule.apply()
        except SyncFailed as error:
            self._schedule.log_failure(error)
            return
        self._has_yielded = True

    def end(self) -> None:
        """Note that the database is this service's again, and that its jobs run here."""
        if self._has_yielded:
            self._log_event(Level.INFO, "database.regained")
        self.holder, self._has_yielded = None, False
