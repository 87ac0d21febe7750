"""The database's own clock in a statement: every time in the tables of a cluster is written and compared by it.

The clocks of hosts differ, and the one of the database is the same for all. `NOW()` is not used: in MySQL it is whole
seconds in the session's zone, in PostgreSQL the start of the transaction. For SQLite it is the clock of the host.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Double, literal
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeEngine

from jobscheduler.database.tables import Instant

_SQLITE_FORMAT = "%Y-%m-%d %H:%M:%f"  # three digits of a second, then compared as text


class DatabaseInstant(Instant):
    """An instant of the database's clock, in UTC. In MySQL it is DATETIME, which does not end in 2038."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return super().load_dialect_impl(dialect)


class _FromNow(FunctionElement[datetime]):
    """The present time of the database, plus seconds."""

    type = DatabaseInstant()
    inherit_cache = True


class _SecondsUntil(FunctionElement[float]):
    """The seconds from the present time of the database to an instant; negative if it has passed."""

    type = Double()
    inherit_cache = True


def from_now(seconds: float | ColumnElement[Any] = 0.0) -> ColumnElement[datetime]:
    """Return the present time of the database plus `seconds`, which may be negative; NULL if they are."""
    return _FromNow(seconds if isinstance(seconds, ColumnElement) else literal(float(seconds), Double()))


def seconds_until(instant: ColumnElement[datetime]) -> ColumnElement[float]:
    """Return the seconds from the present time of the database to `instant`."""
    return _SecondsUntil(instant)


def seconds_since(instant: ColumnElement[datetime]) -> ColumnElement[float]:
    """Return the seconds from `instant` to the present time of the database."""
    return -_SecondsUntil(instant)


@compiles(_FromNow, "sqlite")
def _from_now_sqlite(element: _FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('{_SQLITE_FORMAT}', 'now', ({seconds}) || ' seconds')"


@compiles(_FromNow, "mysql")
def _from_now_mysql(element: _FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(UTC_TIMESTAMP(6) + INTERVAL ({seconds}) * 1000000 MICROSECOND)"


@compiles(_FromNow, "postgresql")
def _from_now_postgresql(element: _FromNow, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(_SecondsUntil, "sqlite")
def _until_sqlite(element: _SecondsUntil, compiler: SQLCompiler, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"((julianday({instant}) - julianday('now')) * 86400.0)"


@compiles(_SecondsUntil, "mysql")
def _until_mysql(element: _SecondsUntil, compiler: SQLCompiler, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), {instant}) / 1000000.0)"


@compiles(_SecondsUntil, "postgresql")
def _until_postgresql(element: _SecondsUntil, compiler: SQLCompiler, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"CAST(extract(epoch FROM ({instant} - clock_timestamp())) AS double precision)"
