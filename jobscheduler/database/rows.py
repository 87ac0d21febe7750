"""What is read from the tables and written to them, statement by statement, on a connection that is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, func, insert, inspect, select, text, update

from jobscheduler.database.connecting import Unavailable
from jobscheduler.database.tables import JOBS, MARKERS, METADATA, VERSION, VERSIONS

AT_ONCE = 500
"""How many values one statement has at most."""

LARGEST = 2_000_000
"""How many characters of definitions a marker has at most before and after; of more it has the ids alone."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `jm_jobs`. `definition` is the text of a job file; instants are None where nothing sensible stands."""

    job_id: str
    definition: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


# --- the tables ------------------------------------------------------------------------------------------


def make_tables(connection: Connection, now: datetime) -> bool:
    """Make what is missing of the tables; tell whether anything was.

    Raises:
        Unavailable: there are tables of another version.

    """
    if inspect(connection).has_table(VERSIONS.name):
        check_version(connection)
        return False
    METADATA.create_all(connection)
    connection.execute(insert(VERSIONS).values(version=VERSION, created_at=now))
    return True


def check_version(connection: Connection) -> None:
    """See that the tables are there, and are those that this version knows.

    Raises:
        Unavailable: they are not.

    """
    if not inspect(connection).has_table(VERSIONS.name):
        raise Unavailable("the database has no tables of the scheduler", "`jobscheduler db init` makes them")
    found = connection.execute(select(VERSIONS.c.version)).scalars().all()
    if list(found) != [VERSION]:
        has = ", ".join(map(str, found)) or "none"
        raise Unavailable(
            f"the tables have version {has}, and this service knows version {VERSION}",
            "use the service that made them, or a database of its own",
        )


def keep_readers_going(connection: Connection) -> None:
    """Have an SQLite database read while it is written; it stays so."""
    connection.execute(text("PRAGMA journal_mode = WAL"))


# --- jobs ------------------------------------------------------------------------------------------------


def all_rows(connection: Connection, *, lock: bool = False) -> list[Row]:
    """Read every job, in the order of ids; with `lock` nobody else changes them until the transaction ends."""
    statement = select(*_COLUMNS).order_by(JOBS.c.job_id)
    return [_row(*found) for found in connection.execute(statement.with_for_update() if lock else statement)]


def row_of(connection: Connection, job_id: str, *, lock: bool = False) -> Row | None:
    """Read one job, None if there is none of this id."""
    statement = select(*_COLUMNS).where(JOBS.c.job_id == job_id)
    found = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if found is None else _row(*found)


def insert_jobs(connection: Connection, definitions: Mapping[str, str], now: datetime) -> None:
    """Add jobs, by id."""
    for part in portions(list(definitions.items())):
        values = [
            {"job_id": job_id, "definition": text_, "created_at": now, "updated_at": now} for job_id, text_ in part
        ]
        connection.execute(insert(JOBS), values)


def update_job(connection: Connection, job_id: str, definition: str, now: datetime) -> None:
    """Put another definition in the place of one."""
    values = {"definition": definition, "updated_at": now}
    connection.execute(update(JOBS).where(JOBS.c.job_id == job_id).values(**values))


def delete_jobs(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove jobs."""
    for part in portions(job_ids):
        connection.execute(delete(JOBS).where(JOBS.c.job_id.in_(part)))


_COLUMNS = (JOBS.c.job_id, JOBS.c.definition, JOBS.c.created_at, JOBS.c.updated_at)


def _row(job_id: Any, definition: Any, created_at: datetime | None, updated_at: datetime | None) -> Row:
    if isinstance(definition, bytes):  # SQLite takes anything
        definition = definition.decode("utf-8", "replace")
    return Row(str(job_id), str(definition), created_at, updated_at)


# --- markers ---------------------------------------------------------------------------------------------


def add_marker(
    connection: Connection,
    now: datetime,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> int:
    """Ask for a reload; return the marker's id. `before` and `after` are the definitions of the jobs that changed."""
    values = {"updated": 0, "insert_time": now, "jobs_before_update": _told(before), "jobs_after_update": _told(after)}
    made = connection.execute(insert(MARKERS).values(**values))
    assert made.inserted_primary_key is not None  # noqa: S101 - the table has one
    return int(made.inserted_primary_key[0])


def pending(connection: Connection) -> list[int]:
    """List the markers that ask for a reload."""
    return list(connection.execute(select(MARKERS.c.id).where(MARKERS.c.updated == 0)).scalars())


def is_done(connection: Connection, marker: int) -> bool:
    """Tell whether the reload that a marker asked for has been made."""
    count = select(func.count()).where(MARKERS.c.id == marker, MARKERS.c.updated == 0)
    return not connection.execute(count).scalar_one()


def mark_done(connection: Connection, markers: Sequence[int], now: datetime) -> None:
    """Say that the reload has been made that these markers asked for."""
    for part in portions(markers):
        done = update(MARKERS).where(MARKERS.c.id.in_(part), MARKERS.c.updated == 0)
        connection.execute(done.values(updated=1, update_time=now))


def _told(definitions: Mapping[str, str] | None) -> str | None:
    if definitions is None:
        return None
    told = json.dumps({job_id: _value(text_) for job_id, text_ in definitions.items()}, ensure_ascii=False)
    if len(told) > LARGEST:
        told = json.dumps(list(definitions), ensure_ascii=False)
    if told.isascii() or not _SURROGATE.search(told):
        return told
    return json.dumps(json.loads(told))  # half a character, which no database takes as it is


def _value(definition: str) -> Any:
    """Read a definition for people to look at; one that cannot be read stays a text."""
    try:
        return json.loads(definition)
    except (ValueError, RecursionError):
        return definition


def portions(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts that one statement takes."""
    return (values[at : at + AT_ONCE] for at in range(0, len(values), AT_ONCE))


def by_id(rows: Iterable[Row]) -> dict[str, str]:
    """Return the definitions by id."""
    return {row.job_id: row.definition for row in rows}
