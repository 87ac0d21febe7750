"""Write imported jobs of JobsManager into our table, where the tables of JobsManager may have the same names.

Each step can be repeated: after an interruption the next import goes on with the one that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jobscheduler.cli.import_target import ImportedFile, imported_file
from jobscheduler.cli.jobsmanager_verdicts import JobVerdict
from jobscheduler.database import JobTable, Unavailable
from jobscheduler.database.jobsmanager_tables import move_aside, names_in_the_way


class Written(NamedTuple):
    """What was done: tables that have new names, whether tables were created, and the request for a reload."""

    renamed: dict[str, str]
    is_created: bool
    marker: int | None


def present_jobs(table: JobTable) -> dict[str, ImportedFile]:
    """Return the jobs that the table has, as files of their ids; none if there is no table of ours yet.

    Raises:
        Unavailable: the database cannot be used.

    """
    if not _has_tables(table):
        return {}
    return {f"{row.job_id}.json": imported_file(row.definition.encode()) for row in table.list()}


def _has_tables(table: JobTable) -> bool:
    """Return whether our tables are there; `init` says what is wrong with others."""
    from jobscheduler.database.queries import check_version  # noqa: PLC0415 - an extra

    try:
        if names_in_the_way(table.database):
            return False
        with table.database.reading() as connection:
            check_version(connection)
    except Unavailable:
        return False
    return True


def write_jobs(table: JobTable, verdicts: Sequence[JobVerdict]) -> Written:
    """Rename the tables that are in the way, create ours, and add the jobs in one transaction.

    Raises:
        Unavailable: the database cannot be used.
        JobTableError: another program has added a job of the same id meanwhile.

    """
    renamed = move_aside(table.database)
    is_created = table.init()
    added = [one.file.raw.decode() for one in verdicts if one.file is not None and one.is_new]
    if not added:
        return Written(renamed, is_created, None)
    may_replace = any(one.state.name == "REPLACED" for one in verdicts)
    marker = table.put(*added).marker if may_replace else table.add(*added)
    return Written(renamed, is_created, marker)
