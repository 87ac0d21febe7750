"""Read the table of jobs, apply it to the schedule, and mark the requests for that as done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from jobscheduler.database import queries
from jobscheduler.database.clock_skew import ClockSkew
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.queries import Row
from jobscheduler.database.schedule_sync import ScheduleSync
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.unfinished_requests import UnfinishedRequests
from jobscheduler.model import EventLogger, Level

T = TypeVar("T")


class Polling(Protocol):
    """The connection that polls the database."""

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask a question.

        Raises:
            DatabaseInUse: another service has the database.
            Unavailable: the database cannot be used.

        """

    def drop(self) -> None:
        """Close the connection."""


class JobReload:
    """Performs reloads, one at a time.

    Thread: one; `problems` for any.
    """

    def __init__(
        self,
        database: Database,
        source: DatabaseSource,
        lock: Polling,
        schedule: ScheduleSync,
        log_event: EventLogger,
        now: Callable[[], datetime],
        decides: Callable[[], bool] | None = None,
    ) -> None:
        """`decides` is for a node of several that share the database: it returns whether this one leads."""
        self._database = database
        self._source = source
        self._lock = lock
        self._schedule = schedule
        self._log_event = log_event
        self._clock_skew = ClockSkew(log_event, now)
        self._requests = UnfinishedRequests(database, log_event, now)
        self._is_shared = decides is not None
        self._decides = decides or (lambda: True)
        self._done: frozenset[int] = frozenset()

    def is_requested(self) -> bool:
        """Return whether a request in the database waits for its reload, or the leader has completed one elsewhere.

        Takes the lock if it is not held, where one service has the database. Only the leader performs requests.

        Raises:
            DatabaseInUse: another service holds the lock.
            Unavailable: the database cannot be used.

        """
        is_pending = self._decides() and bool(self._requests.new_requests(self._lock.ask(queries.pending_reloads)))
        return is_pending or (self._is_shared and bool(self._lock.ask(queries.latest_done_reloads) - self._done))

    def run(self, may_sync: Callable[[], bool], *, is_wanted: bool) -> None:
        """Read requests and jobs in one consistent state, apply the jobs, then complete exactly those requests.

        A node that stands by completes none: the end of a request says that the leader has the jobs.
        `may_sync` waits until the schedule may be changed; when it returns False, nothing is.

        Raises:
            SyncFailed: the jobs could not be applied.
            Unavailable: the database cannot be used.

        """
        started = time.monotonic()
        markers, done, rows = self._read()
        is_first = not self._source.is_read
        changed = self._source.update(rows, self._clock_skew.ahead)
        if not may_sync():
            return
        self._schedule.apply()
        unmade = self._requests.new_requests(markers) if self._decides() else []
        elsewhere = done - self._done
        self._done = done
        if self._decides():
            self._done = done.union(markers)
            self._complete(markers)
        if unmade or elsewhere or is_first or is_wanted:
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

    def _read(self) -> tuple[list[int], frozenset[int], list[Row]]:
        self._database.check_trust()
        with self._database.reading() as connection:
            queries.check_version(connection)
            self._clock_skew.compare(lambda: queries.read_server(connection).now)
            done = queries.latest_done_reloads(connection) if self._is_shared else frozenset()
            return queries.pending_reloads(connection), done, queries.select_all(connection)

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
