"""Make the tables of a cluster, carry on older ones to the present version, and leave tables of a later one alone.

Each step can be repeated: after an interruption the next `db init` or `db upgrade` completes the tables. The version is
written last.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import Enum

from sqlalchemy import Connection, Inspector, delete, func, insert, inspect, select

from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.tables import KNOWN_VERSIONS, LEASE, METADATA, VERSION, VERSIONS
from jobscheduler.database import queries
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.migrations import acquire_migration_lock
from jobscheduler.database.postgresql import lift_statement_limit

LEADER = "leader"  # the name of the one lease

FREE = ""  # the holder of a lease that is free


class Made(Enum):
    """What became of the tables."""

    CREATED = "created"
    UPGRADED = "upgraded"
    UNCHANGED = "unchanged"


def make_tables(database: Database) -> Made:
    """Create the tables, or complete those that are there.

    Raises:
        Unavailable: the database cannot be used, or has tables of an unknown version or of another program.

    """
    with database.polling(create=True) as first:
        if database.file is not None:
            queries.enable_wal(first)
        acquire_migration_lock(first)
        with database.writing(create=True) as connection:
            return _complete(connection)


def upgrade_tables(database: Database) -> Made:
    """Carry on tables that are there to the present version; make none.

    Raises:
        Unavailable: as `make_tables`; or there are no tables.

    """
    with database.polling() as first:
        acquire_migration_lock(first)
        with database.writing() as connection:
            if _version(connection, inspect(connection)) is None:
                raise _no_tables()
            return _complete(connection)


def check_version(connection: Connection) -> int:
    """Check that the tables exist and have a version that this program knows; return it.

    Raises:
        Unavailable: they are missing, incomplete or of an unknown version.

    """
    version = _version(connection, inspect(connection))
    if version is None:
        raise _no_tables()
    if version == 0:
        raise Unavailable("the tables of the cluster were not made to the end", "`jobscheduler db init` completes them")
    return version


def _no_tables() -> Unavailable:
    return Unavailable("the database has no tables of a cluster", "`jobscheduler db init` makes them")


def _complete(connection: Connection) -> Made:
    """Create what is missing. A step from one version to the next stands here, before the new version is written."""
    if connection.dialect.name == "postgresql":
        lift_statement_limit(connection)
    inspector = inspect(connection)
    before = _version(connection, inspector)
    _refuse_other_tables(inspector)
    if before == VERSION and not _is_anything_missing(inspector):
        return Made.UNCHANGED
    METADATA.create_all(connection)
    _create_indexes(connection)
    if connection.execute(select(func.count()).select_from(LEASE)).scalar_one() == 0:
        free = {"name": LEADER, "holder": FREE, "instance": FREE, "term": 0, "expires_at": from_now()}
        connection.execute(insert(LEASE).values(free | {"seed": secrets.token_hex(8)}))
    connection.execute(delete(VERSIONS))
    connection.execute(insert(VERSIONS).values(version=VERSION, made_at=from_now()))
    return Made.CREATED if before is None else Made.UPGRADED


def _version(connection: Connection, inspector: Inspector) -> int | None:
    """Return the version of the tables: None if there is none, 0 if they were not made to the end.

    Raises:
        Unavailable: this program does not know it.

    """
    if not inspector.has_table(VERSIONS.name):
        return None
    versions = list(connection.execute(select(VERSIONS.c.version)).scalars())
    if not versions:
        return 0
    require_known(versions)
    return int(versions[0])


def require_known(versions: Sequence[int | None]) -> None:
    """Check that tables have the one version that this program knows, given the rows that say it.

    Raises:
        Unavailable: they have another one, and are to be left alone.

    """
    if len(versions) == 1 and versions[0] in KNOWN_VERSIONS:
        return
    has = ", ".join(map(str, versions))
    raise Unavailable(
        f"the tables of the cluster have version {has}, and this program knows version {VERSION}",
        "they are left alone: upgrade the program, or use a database of its own",
    )


def _refuse_other_tables(inspector: Inspector) -> None:
    """Refuse a database in which another program has a table of the same name with other columns."""
    for table in METADATA.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        has = {column["name"] for column in inspector.get_columns(table.name)}
        lacks = [f"`{column.name}`" for column in table.columns if column.name not in has]
        if lacks:
            message = f"`{table.name}` is the table of another program: it lacks {', '.join(lacks)}"
            raise Unavailable(message, "rename it, or use a database of its own")


def _is_anything_missing(inspector: Inspector) -> bool:
    return any(
        not inspector.has_table(table.name) or _missing_indexes(inspector, table.name)
        for table in METADATA.sorted_tables
    )


def _missing_indexes(inspector: Inspector, table: str) -> list[str]:
    existing = {index["name"] for index in inspector.get_indexes(table)}
    return [str(index.name) for index in METADATA.tables[table].indexes if index.name not in existing]


def _create_indexes(connection: Connection) -> None:
    """Create the indexes that an interruption left out."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        missing = _missing_indexes(inspector, table.name)
        for index in table.indexes:
            if index.name in missing:
                index.create(connection)
