"""The table of jobs for other programs: each change, and the marker that asks for its reload, in one transaction."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection

from jobscheduler import tasks
from jobscheduler.database import rows
from jobscheduler.database.changes import Absent, Changes, Exists, Given, between, checked
from jobscheduler.database.connecting import Database, Unavailable
from jobscheduler.database.rows import Row
from jobscheduler.model import Problem
from jobscheduler.parse import Rules
from jobscheduler.zone import service_zone

TRIES = 6
"""How often a change is tried while other programs' changes are in its way."""

_PAUSE = 0.05  # seconds before the second try; each further pause is twice as long
_T = TypeVar("_T")


class JobTable:
    """The jobs in a database. Each method is one transaction; what it changes is in force when the service reloads.

    Any method raises `Unavailable` when the database cannot be used. A change was then made as a whole or not at all:
    not at all, unless the connection broke in the very moment in which it was to take effect.
    """

    def __init__(
        self,
        url: str,
        *,
        rules: Rules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take the URL of the database; nothing is connected yet. `rules` are what definitions are held against.

        Raises:
            CannotUse: it is no URL, or there is no driver for it.

        """
        self.database = Database(url)
        self._now = now
        self.rules = rules or Rules(service_zone(None, os.environ), tasks.task_type, tasks.task_names())

    def init(self) -> bool:
        """Make the tables; tell whether they were not there. The other methods need them."""
        if self.database.file is not None:
            with self.database.polling(create=True) as connection:
                rows.keep_readers_going(connection)
        with self.database.writing(create=True) as connection:
            return rows.make_tables(connection, self._now())

    def add(self, *jobs: Given) -> int:
        """Add jobs; return the id of the marker.

        Raises:
            Refused: one is not valid, or two have the same id.
            Exists: one is there already.

        """
        added = checked(jobs, self.rules)

        def work(connection: Connection) -> int:
            for job_id in added:
                if rows.row_of(connection, job_id, lock=True) is not None:
                    raise Exists(Problem(f"there is already a job `{job_id}`", help="`update` changes it"))
            rows.insert_jobs(connection, added, self._now())
            return rows.add_marker(connection, self._now(), {}, added)

        return self._change(work)

    def update(self, *jobs: Given) -> int:
        """Put these definitions in the place of those of the same ids; return the id of the marker.

        Raises:
            Refused: one is not valid, or two have the same id.
            Absent: one is not there.

        """
        changed = checked(jobs, self.rules)

        def work(connection: Connection) -> int:
            before = {job_id: _present(connection, job_id) for job_id in changed}
            for job_id, definition in changed.items():
                rows.update_job(connection, job_id, definition, self._now())
            return rows.add_marker(connection, self._now(), before, changed)

        return self._change(work)

    def remove(self, *job_ids: str) -> int:
        """Remove jobs; return the id of the marker.

        Raises:
            Absent: one is not there.

        """

        def work(connection: Connection) -> int:
            before = {job_id: _present(connection, job_id) for job_id in job_ids}
            rows.delete_jobs(connection, list(before))
            return rows.add_marker(connection, self._now(), before, {})

        return self._change(work)

    def replace_all(self, jobs: Iterable[Given], *, may_remove: bool = True) -> Changes:
        """Have the table hold these jobs and no others; tell what that changed. Without a change there is no marker.

        Raises:
            Refused: one is not valid, or two have the same id.
            Exists: other jobs are there, and may not be removed.

        """
        wanted = checked(jobs, self.rules)

        def work(connection: Connection) -> Changes:
            held = rows.by_id(rows.all_rows(connection, lock=True))
            changes = between(held, wanted)
            if changes.removed and not may_remove:
                raise Exists(*map(_another, changes.removed))
            return self._carry_out(connection, changes, held, wanted) if changes else changes

        return self._change(work)

    def list(self) -> builtins.list[Row]:
        """Return all jobs, in the order of their ids."""
        return self._read(rows.all_rows)

    def get(self, job_id: str) -> Row | None:
        """Return one job, None if there is none of this id."""
        return self._read(lambda connection: rows.row_of(connection, job_id))

    def reload(self) -> int:
        """Ask for a reload, for changes that were made by other means; return the id of the marker."""
        return self._change(lambda connection: rows.add_marker(connection, self._now()))

    def is_reloaded(self, marker: int) -> bool:
        """Tell whether the service has made the reload that a marker asked for."""
        return self._read(lambda connection: rows.is_done(connection, marker))

    def _carry_out(
        self, connection: Connection, changes: Changes, held: Mapping[str, str], wanted: Mapping[str, str]
    ) -> Changes:
        now = self._now()
        rows.delete_jobs(connection, changes.removed)
        rows.insert_jobs(connection, {job_id: wanted[job_id] for job_id in changes.added}, now)
        for job_id in changes.updated:
            rows.update_job(connection, job_id, wanted[job_id], now)
        before = {job_id: held[job_id] for job_id in (*changes.removed, *changes.updated)}
        after = {job_id: wanted[job_id] for job_id in (*changes.added, *changes.updated)}
        return replace(changes, marker=rows.add_marker(connection, now, before, after))

    def _read(self, work: Callable[[Connection], _T]) -> _T:
        with self.database.reading() as connection:
            rows.check_version(connection)
            return work(connection)

    def _change(self, work: Callable[[Connection], _T]) -> _T:
        """Make a change; once more after a pause when another program's was in the way."""
        for attempt in range(TRIES):
            try:
                with self.database.writing() as connection:
                    rows.check_version(connection)
                    return work(connection)
            except Unavailable as reason:
                if not reason.again or attempt == TRIES - 1:
                    raise
            time.sleep(_PAUSE * 2**attempt)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _another(job_id: str) -> Problem:
    return Problem(f"the table also holds the job `{job_id}`", help="`--delete` removes what is not given")


def _present(connection: Connection, job_id: str) -> str:
    """Return the definition that is there, and have nobody else change it until the transaction ends."""
    found = rows.row_of(connection, job_id, lock=True)
    if found is None:
        raise Absent(Problem(f"there is no job `{job_id}` in the database", help="`add` adds one"))
    return found.definition
