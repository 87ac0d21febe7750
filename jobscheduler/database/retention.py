"""Delete old log rows and completed requests from the database, in small batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, select

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.tables import MARKERS, SYSLOG
from jobscheduler.model import EventLogger, Level

BATCH_SIZE = 1_000  # rows deleted by one statement

DEFAULT_KEEP_S = 30 * 86400.0  # seconds that log rows and completed requests are kept by default

MAX_SPELL_S = 0.5  # seconds that one step may take: reloads wait for it

FIRST_AFTER_S = 60.0  # seconds from the start to the first deletion

INTERVAL_S = 3600.0  # seconds between later deletions


class Retention:
    """Delete rows that are too old; `keep_lines` and `keep_markers` are in seconds.

    Thread: one.
    """

    def __init__(
        self,
        database: Database,
        log_event: EventLogger,
        keep_lines: float,
        keep_markers: float,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._log_event = log_event
        self._keep = ((_old_lines, SYSLOG, keep_lines), (_old_markers, MARKERS, keep_markers))
        self._now = now
        self._monotonic = monotonic
        self._next = monotonic() + FIRST_AFTER_S
        self._reported = ""

    def step(self) -> None:
        """Delete some rows, if it is time. A failure is logged once, and tried again later."""
        if self._monotonic() < self._next:
            return
        try:
            if self._delete_batches(self._monotonic() + MAX_SPELL_S):
                self._next, self._reported = self._monotonic() + INTERVAL_S, ""
        except Unavailable as reason:
            self._next = self._monotonic() + INTERVAL_S
            if self._reported != str(reason):
                help_ = "the service needs SELECT and DELETE on `jm_syslog` and `jm_update_info`"
                problem = f"old rows cannot be removed: {reason}"
                self._log_event(Level.WARNING, "database.rows_kept", problem=problem, help=help_)
            self._reported = str(reason)

    def _delete_batches(self, until: float) -> bool:
        for old, table, seconds in self._keep:
            before = self._now() - timedelta(seconds=seconds)
            while True:
                with self._database.writing() as connection:
                    ids = old(connection, before)
                    if ids:
                        connection.execute(delete(table).where(table.c.id.in_(ids)))
                if not ids:
                    break
                if self._monotonic() >= until:
                    return False
        return True


def _old_lines(connection: Connection, before: datetime) -> list[int]:
    oldest = select(SYSLOG.c.id).where(SYSLOG.c.created_at < before).order_by(SYSLOG.c.created_at).limit(BATCH_SIZE)
    return list(connection.execute(oldest).scalars())


def _old_markers(connection: Connection, before: datetime) -> list[int]:
    """Return requests completed long ago, among the oldest: ids grow with time."""
    columns = (MARKERS.c.id, MARKERS.c.updated, MARKERS.c.update_time, MARKERS.c.insert_time)
    first = connection.execute(select(*columns).order_by(MARKERS.c.id).limit(BATCH_SIZE)).all()
    return [number for number, updated, *times in first if updated and _latest(times) < before]


def _latest(times: list[datetime | None]) -> datetime:
    return max(at for at in times if at is not None) if any(times) else datetime.max.replace(tzinfo=UTC)
