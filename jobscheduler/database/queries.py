"""What is read from the tables and written to them, statement by statement, on a connection that is given."""

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

BATCH_SIZE = 500
"""How many values one statement has at most."""

MAX_DEFINITION_CHARS = 1024 * 1024
"""How many characters of a definition are read; a longer one is refused, whatever follows."""

_MAX_ID_CHARS = 1024
_MAX_INSTANT_CHARS = 64
_SPACE = 4_000_000
"""How many bytes of definitions one statement has at most."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `jm_jobs`. `definition` is the text of a job file; instants are None where nothing sensible stands.

    Of a definition that is too long only the beginning is there: `is_cut`.
    """

    job_id: str
    definition: str
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_cut(self) -> bool:
        """Whether there is more of the definition than was read."""
        return len(self.definition) > MAX_DEFINITION_CHARS


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself: its time, and how many bytes one statement may have; None where it has no say."""

    now: datetime | None = None
    max_packet: int | None = None


# --- the tables ------------------------------------------------------------------------------------------


def check_version(connection: Connection) -> int:
    """See that the tables are there, and are those that are known; return their version.

    Raises:
        Unavailable: they are not.

    """
    if not inspect(connection).has_table(VERSIONS.name):
        raise Unavailable("the database has no tables of the scheduler", "`jobscheduler db init` makes them")
    found = list(connection.execute(select(VERSIONS.c.version)).scalars())
    if not found:
        raise Unavailable("the tables were not made to the end", "`jobscheduler db init` completes them")
    if len(found) > 1 or found[0] not in KNOWN_VERSIONS:
        has = ", ".join(map(str, found))
        raise Unavailable(
            f"the tables have version {has}, and this service knows version {VERSION}",
            "use the service that made them, or a database of its own",
        )
    return int(found[0])


def read_server(connection: Connection) -> Server:
    """Ask a server about itself; an SQLite file has nothing to say."""
    match connection.dialect.name:
        case "mysql":
            now, most = connection.exec_driver_sql("SELECT CURRENT_TIMESTAMP(6), @@max_allowed_packet").one()
            return Server(now.replace(tzinfo=UTC), int(most))
        case "postgresql":
            return Server(connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one())
    return Server()


def enable_wal(connection: Connection) -> None:
    """Have an SQLite database read while it is written; it stays so."""
    connection.execute(text("PRAGMA journal_mode = WAL"))


# --- jobs ------------------------------------------------------------------------------------------------


def select_all(connection: Connection, *, lock: bool = False) -> list[Row]:
    """Read every job, in the order of ids; with `lock` no other program changes them until the transaction ends."""
    statement = select(*_columns(connection)).order_by(JOBS.c.job_id)
    return [_row(*found) for found in connection.execute(statement.with_for_update() if lock else statement)]


def select_some(connection: Connection, job_ids: Iterable[str], *, lock: bool = False) -> dict[str, Row]:
    """Read the jobs of these ids, as far as there are any; with `lock` as `all_rows` does it."""
    found: dict[str, Row] = {}
    for part in batches(sorted(job_ids)):
        statement = select(*_columns(connection)).where(JOBS.c.job_id.in_(part)).order_by(JOBS.c.job_id)
        rows = (_row(*one) for one in connection.execute(statement.with_for_update() if lock else statement))
        found |= {row.job_id: row for row in rows}
    return {job_id: found[job_id] for job_id in job_ids if job_id in found}


def insert_jobs(connection: Connection, definitions: Mapping[str, str], now: datetime, most: int | None = None) -> None:
    """Add jobs, by id. `most` is how many bytes one statement may have.

    Raises:
        Unavailable: a definition is larger than the server takes.

    """
    for part in _by_size(definitions, most):
        values = [
            {"job_id": job_id, "definition": text_, "created_at": now, "updated_at": now} for job_id, text_ in part
        ]
        connection.execute(insert(JOBS), values)


def update_jobs(connection: Connection, definitions: Mapping[str, str], now: datetime, most: int | None = None) -> None:
    """Put other definitions in the place of those that are there, many with one statement.

    Raises:
        Unavailable: a definition is larger than the server takes.

    """
    for part in _by_size(definitions, most):
        values = [
            {"job_id": job_id, "definition": text_, "created_at": now, "updated_at": now} for job_id, text_ in part
        ]
        _overwrite(connection, values)


def _overwrite(connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
    """Write rows over those of the same ids. Each database has its own words for that."""
    match connection.dialect.name:
        case "mysql":
            new = mysql.insert(JOBS).values(values)
            taken = {name: new.inserted[name] for name in ("definition", "updated_at")}
            connection.execute(new.on_duplicate_key_update(**taken))
        case "sqlite" | "postgresql" as kind:
            put = (sqlite if kind == "sqlite" else postgresql).insert(JOBS).values(values)
            taken = {name: put.excluded[name] for name in ("definition", "updated_at")}
            connection.execute(put.on_conflict_do_update(index_elements=["job_id"], set_=taken))
        case _:
            for one in values:
                changed = update(JOBS).where(JOBS.c.job_id == one["job_id"])
                connection.execute(changed.values(definition=one["definition"], updated_at=one["updated_at"]))


def _by_size(definitions: Mapping[str, str], most: int | None) -> Iterator[list[tuple[str, str]]]:
    """Cut definitions into parts that one statement takes: quoted, a text may have twice as many bytes."""
    room = _SPACE if most is None else min(_SPACE, most)
    part: list[tuple[str, str]] = []
    size = 0
    for job_id, text_ in definitions.items():
        quoted = _quoted(text_) + len(job_id) + 128
        if most is not None and quoted > most:
            raise Unavailable(
                f"the definition of `{job_id}` is larger than the server takes (max_allowed_packet is {most} bytes)",
                "raise `max_allowed_packet` of the server, or shorten the definition",
            )
        if part and (size + quoted > room or len(part) >= BATCH_SIZE):
            yield part
            part, size = [], 0
        part.append((job_id, text_))
        size += quoted
    if part:
        yield part


def _quoted(text_: str) -> int:
    return len(text_.encode("utf-8", "surrogatepass")) + sum(map(text_.count, "'\"\\\n\r\0\x1a"))


def delete_jobs(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove jobs."""
    for part in batches(job_ids):
        connection.execute(delete(JOBS).where(JOBS.c.job_id.in_(part)))


def _columns(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """List what is read of a row: never more of it than it may have, whatever stands there."""
    definition = func.substr(JOBS.c.definition, 1, MAX_DEFINITION_CHARS + 1, type_=String())
    if connection.dialect.name != "sqlite":
        return JOBS.c.job_id, definition, JOBS.c.created_at, JOBS.c.updated_at
    instants = (
        func.substr(one, 1, _MAX_INSTANT_CHARS, type_=Instant()) for one in (JOBS.c.created_at, JOBS.c.updated_at)
    )
    return func.substr(JOBS.c.job_id, 1, _MAX_ID_CHARS, type_=String()), definition, *instants


def _row(job_id: Any, definition: Any, created_at: datetime | None, updated_at: datetime | None) -> Row:
    if isinstance(definition, bytes):  # SQLite takes anything
        definition = definition.decode("utf-8", "replace")
    return Row(str(job_id), str(definition), created_at, updated_at)


# --- markers ---------------------------------------------------------------------------------------------


def request_reload(
    connection: Connection,
    now: datetime,
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
    most: int | None = None,
) -> int:
    """Ask for a reload; return the marker's id. `before` and `after` are the definitions of the jobs that changed.

    `most` is how many bytes one statement may have.
    """
    told, told_after = before_and_after(before, after, most)
    values = {"updated": 0, "insert_time": now, "jobs_before_update": told, "jobs_after_update": told_after}
    made = connection.execute(insert(MARKERS).values(**values))
    assert made.inserted_primary_key is not None  # noqa: S101 - the table has one
    return int(made.inserted_primary_key[0])


def pending_reloads(connection: Connection) -> list[int]:
    """List the markers that ask for a reload."""
    return list(connection.execute(select(MARKERS.c.id).where(MARKERS.c.updated == 0)).scalars())


def is_reload_done(connection: Connection, marker: int) -> bool:
    """Tell whether the reload that a marker asked for has been made."""
    count = select(func.count()).where(MARKERS.c.id == marker, MARKERS.c.updated == 0)
    return not connection.execute(count).scalar_one()


def complete_reloads(connection: Connection, markers: Sequence[int], now: datetime) -> None:
    """Say that the reload has been made that these markers asked for."""
    for part in batches(markers):
        done = update(MARKERS).where(MARKERS.c.id.in_(part), MARKERS.c.updated == 0)
        connection.execute(done.values(updated=1, update_time=now))


def batches(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut a sequence into parts that one statement takes."""
    return (values[at : at + BATCH_SIZE] for at in range(0, len(values), BATCH_SIZE))


def definitions_by_id(rows: Iterable[Row]) -> dict[str, str]:
    """Return the definitions by id."""
    return {row.job_id: row.definition for row in rows}
