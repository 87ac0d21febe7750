"""Read the table of jobs, apply it to the schedule, and mark the requests for that as done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from jobscheduler.database import queries
from jobscheduler.database.clock_skew import ClockSkew
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.queries import Row
from jobscheduler.database.schedule_sync import ScheduleSync
from jobscheduler.database.service_lock import ServiceLock
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.unfinished_requests import UnfinishedRequests
from jobscheduler.model import EventLogger, Level


class JobReload:
    """Performs reloads, one at a time.

    Thread: one; `problems` for any.
    """

    def __init__(
        self,
        database: Database,
        source: DatabaseSource,
        lock: ServiceLock,
        schedule: ScheduleSync,
        log_event: EventLogger,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._source = source
        self._lock = lock
        self._schedule = schedule
        self._log_event = log_event
        self._clock_skew = ClockSkew(log_event, now)
        self._requests = UnfinishedRequests(database, log_event, now)

    def is_requested(self) -> bool:
        """Return whether a request in the database waits for its reload. Takes the lock if it is not held.

        Raises:
            DatabaseInUse: another service holds the lock.
            Unavailable: the database cannot be used.

        """
        return bool(self._requests.new_requests(self._lock.ask(queries.pending_reloads)))

    def run(self, may_sync: Callable[[], bool], *, is_wanted: bool) -> None:
        """Read requests and jobs in one consistent state, apply the jobs, then complete exactly those requests.

        `may_sync` waits until the schedule may be changed; when it returns False, nothing is.

        Raises:
            SyncFailed: the jobs could not be applied.
            Unavailable: the database cannot be used.

        """
        started = time.monotonic()
        markers, rows = self._read()
        is_first = not self._source.is_read
        changed = self._source.update(rows, self._clock_skew.ahead)
        if not may_sync():
            return
        self._schedule.apply()
        unmade = self._requests.new_requests(markers)
        self._complete(markers)
        if unmade or is_first or is_wanted:
            took = time.monotonic() - started
            counts = {"markers": len(unmade), "jobs": len(rows), "changed": changed}
            self._log_event(Level.INFO, "database.reloaded", **counts, took=took)

    def mark_unfinished(self) -> None:
        """Mark requests as done that could not be marked before, if it is time to try again."""
        if self._requests.is_due():
            self._complete(())

    def forget_unfinished(self) -> None:
        """Forget which requests were performed: the connection was lost, and the database may be another one."""
        self._requests.reset()

    def problems(self) -> tuple[str | None, ...]:
        """Return why requests cannot be marked, and how far the clocks differ; None where all is well."""
        return self._requests.problem(), self._clock_skew.problem()

    def _read(self) -> tuple[list[int], list[Row]]:
        self._database.check_trust()
        with self._database.reading() as connection:
            queries.check_version(connection)
            self._clock_skew.compare(lambda: queries.read_server(connection).now)
            return queries.pending_reloads(connection), queries.select_all(connection)

    def _complete(self, markers: Sequence[int]) -> None:
        """Mark requests as done.

        A failure does not count as a lost database as long as the database can be read.
        """
        try:
            self._requests.complete(markers)
        except Unavailable as reason:
            self._lock.drop()
            self.is_requested()
            self._requests.fail(reason)
