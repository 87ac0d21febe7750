"""The tables of JobsManager: read its jobs, and make room for the tables of the same names.

Nothing of them is changed or removed: a table that is in the way gets another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Float, Inspector, LargeBinary, String, column, func, inspect, select, table

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.migrations import acquire_migration_lock
from jobscheduler.database.tables import JOBS, MARKERS, SYSLOG, VERSIONS

SUFFIX = "_of_jobsmanager"  # of the names that its tables get

_MAX_ID_CHARS = 1024
_LOCK_WAIT_S = 5  # seconds to wait for other programs that use a table
_COLUMNS = {  # by which its tables are told from others
    JOBS.name: {"id", "next_run_time", "job_state"},
    MARKERS.name: {"id", "updated", "insert_time", "update_time"},
    SYSLOG.name: {"id", "created_at", "level", "logger_name", "message"},
}
_STOP_IT = "stop JobsManager, and run this again"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of its jobs. `state` is the pickle, or its beginning if it is longer than was asked for."""

    id: str
    has_next_run: bool
    state: bytes


def read_rows(database: Database, name: str, max_bytes: int) -> list[StoredRow]:
    """Read the jobs, at most one byte more than `max_bytes` of each; ordered by id.

    The table may have been renamed by an import.

    Raises:
        Unavailable: the database cannot be used, or has no such table.

    """
    if database.file is not None and not Path(database.file).exists():
        raise Unavailable(f"there is no database file `{database.file}`", "name that of JobsManager, or a copy of it")
    with database.reading() as connection:
        found = _table_of_jobs(inspect(connection), name)
        return [_row(*columns) for columns in connection.execute(_select(found, max_bytes))]


def _table_of_jobs(inspector: Inspector, name: str) -> str:
    """Return the name that the table has now."""
    for candidate in (name, f"{name}{SUFFIX}"):
        if _columns(inspector, candidate) >= _COLUMNS[JOBS.name]:
            return candidate
    if not inspector.has_table(name):
        message = f"the database has no table `{name}`"
    else:
        message = f"`{name}` is not a table of JobsManager: it lacks `id`, `next_run_time` or `job_state`"
    raise Unavailable(
        message, "name the database of JobsManager, and its table with `--table` if that has another name"
    )


def _select(name: str, max_bytes: int) -> Any:
    row_id, next_run, state = column("id", String), column("next_run_time", Float), column("job_state", LargeBinary)
    columns = (
        func.substr(row_id, 1, _MAX_ID_CHARS, type_=String()),
        next_run.is_not(None),
        func.substr(state, 1, max_bytes + 1, type_=LargeBinary()),
    )
    return select(*columns).select_from(table(name, row_id, next_run, state)).order_by(row_id)


def _row(row_id: Any, has_next_run: Any, state: Any) -> StoredRow:
    if isinstance(row_id, bytes):  # SQLite stores any type
        row_id = row_id.decode("utf-8", "replace")
    return StoredRow(str(row_id), bool(has_next_run), bytes(state) if isinstance(state, bytes | memoryview) else b"")


# --- make room ---------------------------------------------------------------------------------------------


def names_in_the_way(database: Database) -> dict[str, str]:
    """Return the tables that `move_aside` would rename, with their new names; none if the database is not there yet."""
    if database.file is not None and not Path(database.file).exists():
        return {}
    with database.reading() as connection:
        return _in_the_way(inspect(connection))


def move_aside(database: Database) -> dict[str, str]:
    """Rename the tables of JobsManager whose names ours have: all of them or none. Return the new names by the old.

    A second call does nothing. In MySQL and MariaDB it is one statement, elsewhere one transaction.

    Raises:
        Unavailable: other programs use them, or a table has the new name already.

    """
    if not names_in_the_way(database):
        return {}
    with database.polling() as first:
        acquire_migration_lock(first)
        try:
            with database.writing() as connection:
                names = _in_the_way(inspect(connection))
                _rename(connection, names)
                return names
        except Unavailable as reason:
            if not reason.retryable:
                raise
            raise Unavailable("another program uses the tables of JobsManager", _STOP_IT) from None


def _in_the_way(inspector: Inspector) -> dict[str, str]:
    """Return old and new names; nothing where our tables are, or were begun without a table of its jobs."""
    is_theirs = _columns(inspector, JOBS.name) >= _COLUMNS[JOBS.name]
    if not is_theirs and (inspector.has_table(JOBS.name) or inspector.has_table(VERSIONS.name)):
        return {}
    names = {name: f"{name}{SUFFIX}" for name, columns in _COLUMNS.items() if _columns(inspector, name) >= columns}
    for name, new in names.items():
        if inspector.has_table(new):
            message = f"`{name}` cannot be renamed: there is a table `{new}` already"
            raise Unavailable(message, f"rename `{new}`, or drop it if nothing in it is needed")
    return names


def _rename(connection: Connection, names: Mapping[str, str]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    quoted = [(quote(old), quote(new)) for old, new in names.items()]
    if connection.dialect.name == "mysql" and quoted:
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_S}")
        connection.exec_driver_sql(f"RENAME TABLE {', '.join(f'{old} TO {new}' for old, new in quoted)}")
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT_S}s'")
    for old, new in quoted:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


def _columns(inspector: Inspector, name: str) -> set[str]:
    if not inspector.has_table(name):
        return set()
    return {one["name"] for one in inspector.get_columns(name)}
