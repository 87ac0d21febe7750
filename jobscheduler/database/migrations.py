"""Create the tables, complete them and migrate them to the present version; tables of other programs stay untouched.

Each step can be repeated: after an interruption the next `db init` completes the tables. The version is written last.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import blake2b

from sqlalchemy import Connection, Inspector, delete, func, insert, inspect, select, update

from jobscheduler.database.errors import Unavailable
from jobscheduler.database.postgresql import lift_statement_limit, limit_statements
from jobscheduler.database.tables import KNOWN_VERSIONS, MARKERS, METADATA, SERVICE, VERSION, VERSIONS

LOCK_WAIT_S = 30  # seconds to wait for another program that is creating the tables

_OF_JOBSMANAGER = {"id", "next_run_time", "job_state"}


def create_tables(connection: Connection, now: datetime) -> bool:
    """Create missing tables, and migrate older ones to the present version; return whether anything was done.

    Raises:
        Unavailable: there are tables of another version, or of another program.

    """
    if connection.dialect.name == "postgresql":
        lift_statement_limit(connection)  # a new index on a large table takes long
    inspector = inspect(connection)
    before = _version(connection, inspector)
    _refuse_other_tables(inspector)
    if before == VERSION and not _missing(inspector):
        return False
    METADATA.create_all(connection)
    _create_indexes(connection)
    if before == 1:
        _redact_old_requests(connection)
    if connection.execute(select(SERVICE.c.lock_name)).first() is None:
        connection.execute(insert(SERVICE).values(lock_name=f"jobscheduler.{secrets.token_hex(16)}"))
    connection.execute(delete(VERSIONS))
    connection.execute(insert(VERSIONS).values(version=VERSION, created_at=now))
    return True


def _version(connection: Connection, inspector: Inspector) -> int | None:
    """Return the version of the tables, None if there is none yet."""
    if not inspector.has_table(VERSIONS.name):
        return None
    versions = connection.execute(select(VERSIONS.c.version)).scalars().all()
    if not versions or (len(versions) == 1 and versions[0] in KNOWN_VERSIONS):
        return versions[0] if versions else None
    has = ", ".join(map(str, versions))
    raise Unavailable(
        f"the tables have version {has}, and this program knows version {VERSION}",
        "use the program that made them, or a database of its own",
    )


def _refuse_other_tables(inspector: Inspector) -> None:
    """Refuse a database in which another program has a table of the same name with other columns."""
    for table in METADATA.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        has = {column["name"] for column in inspector.get_columns(table.name)}
        lacks = [column.name for column in table.columns if column.name not in has]
        if lacks:
            raise _other_table_error(table.name, has, lacks)


def _other_table_error(name: str, has: set[str], lacks: list[str]) -> Unavailable:
    if has >= _OF_JOBSMANAGER:
        return Unavailable(
            f"`{name}` is the table of JobsManager (it has the columns `id`, `next_run_time` and `job_state`)",
            "stop JobsManager and `jobscheduler import jobsmanager --url-file FILE --to-database`, which renames it "
            "and takes over its jobs, or use a database of its own",
        )
    lacking = ", ".join(f"`{column}`" for column in lacks)
    return Unavailable(
        f"`{name}` is the table of another program: it lacks {lacking}", "rename it, or use a database of its own"
    )


def _missing(inspector: Inspector) -> bool:
    """Return whether a table or an index is missing."""
    for table in METADATA.sorted_tables:
        if not inspector.has_table(table.name):
            return True
        existing = {index["name"] for index in inspector.get_indexes(table.name)}
        if any(index.name not in existing for index in table.indexes):
            return True
    return False


def _create_indexes(connection: Connection) -> None:
    """Create the indexes that an older or interrupted version did not."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        existing = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in existing:
                index.create(connection)


def _redact_old_requests(connection: Connection) -> None:
    """Empty the details that version 1 wrote into requests: they held secrets of jobs."""
    statement = update(MARKERS).where(MARKERS.c.updated != 0)
    connection.execute(statement.values(jobs_before_update=None, jobs_after_update=None))


def acquire_migration_lock(connection: Connection) -> None:
    """Wait for other programs that create tables here, and block further ones until the connection is closed.

    Invariant: another connection creates the tables, because that must see what the other programs did.
    """
    kind, name = connection.dialect.name, f"jobscheduler.init.{_database_hash(connection)}"
    if kind == "postgresql":
        limit_statements(connection, LOCK_WAIT_S)
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
        connection.execute(select(func.pg_advisory_lock(key)))
    elif kind == "mysql" and connection.execute(select(func.get_lock(name, LOCK_WAIT_S))).scalar() != 1:
        raise Unavailable("another program is making the tables", "try again in a moment", again=True)


def _database_hash(connection: Connection) -> str:
    return blake2b(str(connection.engine.url.database).encode(), digest_size=12).hexdigest()
