"""The table of jobs for other programs: each change and its request for a reload are one transaction."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from jobscheduler import tasks
from jobscheduler.database import queries
from jobscheduler.database.changes import Changes, JobExists, JobInput, JobNotFound, diff, validate_all
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.migrations import acquire_migration_lock, create_tables
from jobscheduler.database.queries import Row
from jobscheduler.database.service_lock import is_used
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Problem
from jobscheduler.timetable.timezones import service_zone
from jobscheduler.util.instants import utc_now

MAX_TRIES = 6  # tries of a change that conflicts with other programs' changes

_PAUSE = 0.05  # seconds before the second try; each further pause is twice as long
_T = TypeVar("_T")


class JobTable:
    """The jobs in a database. Each method is one transaction; a change is active after the service's next reload.

    A change takes effect as a whole or not at all. After `Unavailable` it has not, unless the connection broke in the
    very moment in which the change was committed.

    Raises:
        Unavailable: any method, when the database cannot be used.

    """

    def __init__(
        self,
        url: str,
        *,
        rules: ParseContext | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Take the URL of the database, without connecting yet. `rules` are what definitions are validated against.

        Raises:
            DatabaseConfigError: it is not a URL, or there is no driver for it.

        """
        self.database = Database(url)
        self._now = now
        self.rules = rules or ParseContext(service_zone(None, os.environ), tasks.task_type, tasks.task_names())

    def init(self) -> bool:
        """Create, complete or migrate the tables; return whether anything was done.

        The other methods need them.
        """
        with self.database.polling(create=True) as first:
            if self.database.file is not None:
                queries.enable_wal(first)
            acquire_migration_lock(first)
            with self.database.writing(create=True) as connection:
                return create_tables(connection, self._now())

    def upgrade(self) -> bool:
        """Complete or migrate tables that are there; return whether anything was done. It makes no database."""
        with self.database.polling() as first:
            queries.check_version(first)
            acquire_migration_lock(first)
            with self.database.writing() as connection:
                return create_tables(connection, self._now())

    def add(self, *jobs: JobInput) -> int:
        """Add jobs; return the id of the request.

        Raises:
            InvalidJob: a job is not valid, or two have the same id.
            JobExists: a job of this id exists.

        """
        added = validate_all(jobs, self.rules)

        def work(change: _Change) -> int:
            existing = queries.select_some(change.connection, added, lock=True)
            if existing:
                raise JobExists(*(_exists_error(job_id) for job_id in existing))
            return change.run({}, added)

        return self._change(work)

    def update(self, *jobs: JobInput) -> int:
        """Replace the definitions of the same ids; return the id of the request.

        Raises:
            InvalidJob: a job is not valid, or two have the same id.
            JobNotFound: there is no job of this id.

        """
        changed = validate_all(jobs, self.rules)
        return self._change(lambda change: change.run(change.present(changed), changed))

    def put(self, *jobs: JobInput) -> Changes:
        """Add jobs, or replace those of the same ids; return what changed.

        Without a change there is no request for a reload.

        Raises:
            InvalidJob: a job is not valid, or two have the same id.

        """
        wanted = validate_all(jobs, self.rules)

        def work(change: _Change) -> Changes:
            existing = queries.definitions_by_id(queries.select_some(change.connection, wanted, lock=True).values())
            return change.apply(diff(existing, wanted), existing, wanted)

        return self._change(work)

    def remove(self, *job_ids: str) -> int:
        """Remove jobs; return the id of the request.

        Raises:
            JobNotFound: there is no job of this id.

        """
        return self._change(lambda change: change.run(change.present(dict.fromkeys(job_ids)), {}))

    def replace_all(self, jobs: Iterable[JobInput], *, may_remove: bool = True) -> Changes:
        """Make the table hold exactly these jobs; return what changed. Without a change there is no request.

        Raises:
            InvalidJob: a job is not valid, or two have the same id.
            JobExists: the table has other jobs, and `may_remove` is false.

        """
        wanted = validate_all(jobs, self.rules)

        def work(change: _Change) -> Changes:
            existing = queries.definitions_by_id(queries.select_all(change.connection, lock=True))
            changes = diff(existing, wanted)
            if changes.removed and not may_remove:
                raise JobExists(*map(_unexpected_id, changes.removed))
            return change.apply(changes, existing, wanted)

        return self._change(work)

    def list(self) -> builtins.list[Row]:
        """Return all jobs, ordered by id."""
        return self._read(queries.select_all)

    def get(self, job_id: str) -> Row | None:
        """Return one job, None if none has this id."""
        return self._read(lambda connection: queries.select_some(connection, [job_id]).get(job_id))

    def reload(self) -> int:
        """Request a reload for changes made by other means; return the id of the request."""
        return self._change(lambda change: queries.request_reload(change.connection, change.now))

    def is_reloaded(self, marker: int) -> bool:
        """Return whether the service has performed a requested reload."""
        return self._read(lambda connection: queries.is_reload_done(connection, marker))

    def is_used(self) -> bool | None:
        """Return whether a service uses this database now; None if that is unknown."""
        with self.database.reading() as connection:
            return is_used(self.database, connection, queries.check_version(connection))

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        with self.database.reading() as connection:
            queries.check_version(connection)
            return work(connection)

    def _change(self, work: Callable[[_Change], _T]) -> _T:
        """Make a change; try again after a pause if another program's change conflicts."""
        for attempt in range(MAX_TRIES):
            try:
                with self.database.writing() as connection:
                    queries.check_version(connection)
                    server = queries.read_server(connection)
                    return work(_Change(connection, server.now or self._now(), server.max_packet))
            except Unavailable as reason:
                if not reason.retryable or attempt == MAX_TRIES - 1:
                    raise
            time.sleep(_PAUSE * 2**attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises


class _Change:
    """One transaction: its changes, all with one time, and its request for a reload.

    The time is the server's, so that programs with different clocks leave no trace in the table.
    """

    def __init__(self, connection: Connection, now: datetime, max_packet: int | None) -> None:
        self.connection = connection
        self.now = now
        self._max_packet = max_packet

    def present(self, job_ids: Mapping[str, object]) -> dict[str, str]:
        """Return the existing definitions.

        Lock: no other program changes them until the transaction ends.

        Raises:
            JobNotFound: there is no job of this id.

        """
        definitions = queries.definitions_by_id(queries.select_some(self.connection, job_ids, lock=True).values())
        missing = [job_id for job_id in job_ids if job_id not in definitions]
        if missing:
            raise JobNotFound(*(_not_found_error(job_id) for job_id in missing))
        return definitions

    def run(self, before: Mapping[str, str], after: Mapping[str, str]) -> int:
        """Replace `before` by `after`; return the id of the request."""
        updated = {job_id: after[job_id] for job_id in after if job_id in before}
        added = {job_id: after[job_id] for job_id in after if job_id not in before}
        queries.delete_jobs(self.connection, [job_id for job_id in before if job_id not in after])
        queries.insert_jobs(self.connection, added, self.now, self._max_packet)
        queries.update_jobs(self.connection, updated, self.now, self._max_packet)
        return queries.request_reload(self.connection, self.now, before, after, self._max_packet)

    def apply(self, changes: Changes, present: Mapping[str, str], wanted: Mapping[str, str]) -> Changes:
        """Make these changes, if there are any."""
        if not changes:
            return changes
        before = {job_id: present[job_id] for job_id in (*changes.removed, *changes.updated)}
        after = {job_id: wanted[job_id] for job_id in (*changes.added, *changes.updated)}
        return replace(changes, marker=self.run(before, after))


def _unexpected_id(job_id: str) -> Problem:
    return Problem(f"the table also holds the job `{job_id}`", help="`--delete` removes what is not given")


def _exists_error(job_id: str) -> Problem:
    return Problem(f"there is already a job `{job_id}`", help="`update` changes it, `put` adds or changes")


def _not_found_error(job_id: str) -> Problem:
    return Problem(f"there is no job `{job_id}` in the database", help="`add` adds it, `put` adds or changes")
