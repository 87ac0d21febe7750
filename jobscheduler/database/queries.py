"""The statements that read and write the tables, on a connection of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, String, delete, func, insert, inspect, select, text, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from jobscheduler.database.change_details import before_and_after
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.tables import JOBS, KNOWN_VERSIONS, MARKERS, VERSION, VERSIONS, Instant

BATCH_SIZE = 500  # values in one statement, at most

MAX_DEFINITION_CHARS = 1024 * 1024  # characters read of a definition; a longer one is refused

MAX_LATEST = 100  # requests that a node looks at for such as another one has completed

_MAX_ID_CHARS = 1024
_MAX_INSTANT_CHARS = 64
_SPACE = 4_000_000  # bytes of definitions in one statement, at most

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `jm_jobs`. `definition` is the text of a job file; an instant that makes no sense is None.

    Of a definition that is too long only the beginning is read: `is_cut`.
    """

    job_id: str
    definition: str
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the definition is longer than what was read."""
        return len(self.definition) > MAX_DEFINITION_CHARS


@dataclass(frozen=True, slots=True)
class Server:
    """The server's time, and how many bytes one statement may have; None where a database does not tell."""

    now: datetime | None = None
    max_packet: int | None = None


# --- the tables ------------------------------------------------------------------------------------------


def check_version(connection: Connection) -> int:
    """Check that the tables exist and have a known version; return the version.

    Raises:
        Unavailable: they are missing, incomplete or of an unknown version.

    """
    if not inspect(connection).has_table(VERSIONS.name):
        raise Unavailable("the database has no tables of the scheduler", "`jobscheduler db init` makes them")
    versions = list(connection.execute(select(VERSIONS.c.version)).scalars())
    if not versions:
        raise Unavailable("the tables were not made to the end", "`jobscheduler db init` completes them")
    if len(versions) > 1 or versions[0] not in KNOWN_VERSIONS:
        has = ", ".join(map(str, versions))
        raise Unavailable(
            f"the tables have version {has}, and this service knows version {VERSION}",
            "use the service that made them, or a database of its own",
        )
    return int(versions[0])


def read_server(connection: Connection) -> Server:
    """Ask a server for its properties; an SQLite file has none."""
    match connection.dialect.name:
        case "mysql":
            now, max_packet = connection.exec_driver_sql("SELECT CURRENT_TIMESTAMP(6), @@max_allowed_packet").one()
            return Server(now.replace(tzinfo=UTC), int(max_packet))
        case "postgresql":
            return Server(connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one())
    return Server()


def enable_wal(connection: Connection) -> None:
    """Let an SQLite database be read while it is written; the setting is permanent."""
    connection.execute(text("PRAGMA journal_mode = WAL"))


# --- jobs ------------------------------------------------------------------------------------------------


def select_all(connection: Connection, *, lock: bool = False) -> list[Row]:
    """Read every job, ordered by id.

    Lock: with `lock` no other program changes them until the transaction ends.
    """
    statement = select(*_columns(connection)).order_by(JOBS.c.job_id)
    return [_row(*columns) for columns in connection.execute(statement.with_for_update() if lock else statement)]


def select_some(connection: Connection, job_ids: Iterable[str], *, lock: bool = False) -> dict[str, Row]:
    """Read the jobs of these ids that exist; `lock` as in `select_all`."""
    rows_by_id: dict[str, Row] = {}
    for batch in batches(sorted(job_ids)):
        statement = select(*_columns(connection)).where(JOBS.c.job_id.in_(batch)).order_by(JOBS.c.job_id)
        rows = (_row(*columns) for columns in connection.execute(statement.with_for_update() if lock else statement))
        rows_by_id |= {row.job_id: row for row in rows}
    return {job_id: rows_by_id[job_id] for job_id in job_ids if job_id in rows_by_id}


def insert_jobs(
    connection: Connection, definitions: Mapping[str, str], now: datetime, max_packet: int | None = None
) -> None:
    """Add jobs, by id. `max_packet` is how many bytes one statement may have.

    Raises:
        Unavailable: a definition is larger than the server takes.

    """
    for part in _by_size(definitions, max_packet):
        connection.execute(insert(JOBS), _new_rows(part, now))


def update_jobs(
    connection: Connection, definitions: Mapping[str, str], now: datetime, max_packet: int | None = None
) -> None:
    """Replace the definitions of existing jobs, many with one statement.

    Raises:
        Unavailable: a definition is larger than the server takes.

    """
    for part in _by_size(definitions, max_packet):
        _overwrite(connection, _new_rows(part, now))


def _new_rows(definitions: Iterable[tuple[str, str]], now: datetime) -> list[Mapping[str, Any]]:
    return [
        {"job_id": job_id, "definition": text, "created_at": now, "updated_at": now} for job_id, text in definitions
    ]


def _overwrite(connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
    """Overwrite the rows of the same ids, in the SQL dialect of the database."""
    match connection.dialect.name:
        case "mysql":
            statement = mysql.insert(JOBS).values(values)
            new_values = {name: statement.inserted[name] for name in ("definition", "updated_at")}
            connection.execute(statement.on_duplicate_key_update(**new_values))
        case "sqlite" | "postgresql" as kind:
            upsert = (sqlite if kind == "sqlite" else postgresql).insert(JOBS).values(values)
            new_values = {name: upsert.excluded[name] for name in ("definition", "updated_at")}
            connection.execute(upsert.on_conflict_do_update(index_elements=["job_id"], set_=new_values))
        case _:
            for row in values:
                row_update = update(JOBS).where(JOBS.c.job_id == row["job_id"])
                connection.execute(row_update.values(definition=row["definition"], updated_at=row["updated_at"]))


def _by_size(definitions: Mapping[str, str], max_packet: int | None) -> Iterator[list[tuple[str, str]]]:
    """Split definitions into batches for one statement each. Quoting can double the bytes of a text."""
    max_bytes = _SPACE if max_packet is None else min(_SPACE, max_packet)
    batch: list[tuple[str, str]] = []
    size = 0
    for job_id, text_ in definitions.items():
        quoted = _quoted(text_) + len(job_id) + 128
        if max_packet is not None and quoted > max_packet:
            raise Unavailable(
                f"the definition of `{job_id}` is larger than the server takes"
                f" (max_allowed_packet is {max_packet} bytes)",
                "raise `max_allowed_packet` of the server, or shorten the definition",
            )
        if batch and (size + quoted > max_bytes or len(batch) >= BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append((job_id, text_))
        size += quoted
    if batch:
        yield batch


def _quoted(text_: str) -> int:
    return len(text_.encode("utf-8", "surrogatepass")) + sum(map(text_.count, "'\"\\\n\r\0\x1a"))


def delete_jobs(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove jobs."""
    for batch in batches(job_ids):
        connection.execute(delete(JOBS).where(JOBS.c.job_id.in_(batch)))


def _columns(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """Return the columns to read, cut to the lengths that valid values may have."""
    definition = func.substr(JOBS.c.definition, 1, MAX_DEFINITION_CHARS + 1, type_=String())
    if connection.dialect.name != "sqlite":
        return JOBS.c.job_id, definition, JOBS.c.created_at, JOBS.c.updated_at
    instants = (
        func.substr(column, 1, _MAX_INSTANT_CHARS, type_=Instant()) for column in (JOBS.c.created_at, JOBS.c.updated_at)
    )
    return func.substr(JOBS.c.job_id, 1, _MAX_ID_CHARS, type_=String()), definition, *instants


def _row(job_id: Any, definition: Any, created_at: datetime | None, updated_at: datetime | None) -> Row:
    if isinstance(definition, bytes):  # SQLite stores any type
        definition = definition.decode("utf-8", "replace")
    return Row(str(job_id), str(definition), created_at, updated_at)


# --- requests for a reload --------------------------------------------------------------------------------


def request_reload(
    connection: Connection,
    now: datetime,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
    max_packet: int | None = None,
) -> int:
    """Request a reload; return the request's id. `before` and `after` are the definitions of the jobs that changed.

    `max_packet` is how many bytes one statement may have.
    """
    text_before, text_after = before_and_after(before, after, max_packet)
    values = {"updated": 0, "insert_time": now, "jobs_before_update": text_before, "jobs_after_update": text_after}
    inserted = connection.execute(insert(MARKERS).values(**values))
    assert inserted.inserted_primary_key is not None  # noqa: S101 - the table has a primary key
    return int(inserted.inserted_primary_key[0])


def pending_reloads(connection: Connection) -> list[int]:
    """Return the ids of requests that are not completed."""
    return list(connection.execute(select(MARKERS.c.id).where(MARKERS.c.updated == 0)).scalars())


def latest_done_reloads(connection: Connection) -> frozenset[int]:
    """Return the ids of the latest requests that are completed.

    Not the highest alone: a request with a lower id may be completed after it.
    """
    latest = select(MARKERS.c.id).where(MARKERS.c.updated == 1).order_by(MARKERS.c.id.desc()).limit(MAX_LATEST)
    return frozenset(connection.execute(latest).scalars())


def is_reload_done(connection: Connection, marker: int) -> bool:
    """Return whether a requested reload has been completed."""
    count = select(func.count()).where(MARKERS.c.id == marker, MARKERS.c.updated == 0)
    return not connection.execute(count).scalar_one()


def complete_reloads(connection: Connection, markers: Sequence[int], now: datetime) -> None:
    """Mark these requests as completed."""
    for batch in batches(markers):
        statement = update(MARKERS).where(MARKERS.c.id.in_(batch), MARKERS.c.updated == 0)
        connection.execute(statement.values(updated=1, update_time=now))


def batches(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Split a sequence into batches for one statement each."""
    return (values[start : start + BATCH_SIZE] for start in range(0, len(values), BATCH_SIZE))


def definitions_by_id(rows: Iterable[Row]) -> dict[str, str]:
    """Return the definitions by job id."""
    return {row.job_id: row.definition for row in rows}
