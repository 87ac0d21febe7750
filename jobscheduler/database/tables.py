"""The tables, and their version.

Instants are UTC. In MySQL they are TIMESTAMP, so that values written with plain SQL are right in any session's zone;
there the database sets `updated_at` itself when the row changes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeEngine

VERSION = 2  # of the tables below; version 1 had no `jm_service`, and no index on the level of lines

KNOWN_VERSIONS = (1, VERSION)  # usable versions: the service does without what an older one lacks

_MICROSECONDS = "%Y-%m-%d %H:%M:%S.%f"


class Instant(TypeDecorator[datetime]):
    """An instant in UTC, with its zone; None for a value that is not an instant, as SQLite stores anything."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.TIMESTAMP(fsp=6))
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Convert an instant for the database."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return utc.strftime(_MICROSECONDS)
        return utc.replace(tzinfo=None) if dialect.name == "mysql" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Convert a value of the database to an instant."""
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        with suppress(OverflowError, ValueError):  # the first and the last day of the calendar, in most zones
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return None


class _Now(FunctionElement[Any]):
    """The present time, as a column's default."""

    inherit_cache = True


class _NowAtEachChange(_Now):
    """The present time, renewed whenever the row changes, where the database supports that."""

    inherit_cache = True


@compiles(_Now)
def _now(*_: Any, **__: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_Now, "mysql")
def _now_mysql(*_: Any, **__: Any) -> str:
    return "CURRENT_TIMESTAMP(6)"


@compiles(_NowAtEachChange, "mysql")
def _now_at_each_change(*_: Any, **__: Any) -> str:
    return "CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"


_COLLATION: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_ID = String(128).with_variant(mysql.VARCHAR(128, **_COLLATION), "mysql")  # ids are case-sensitive
_DEFINITION = Text().with_variant(mysql.MEDIUMTEXT(**_COLLATION), "mysql")
_LONG = Text().with_variant(mysql.LONGTEXT(**_COLLATION), "mysql")
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}

METADATA = MetaData()

VERSIONS = Table(  # one row: the version of all tables
    "jm_version",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Instant, nullable=False, server_default=_Now()),
    **_OPTIONS,
)

JOBS = Table(  # the jobs; `definition` is the text of a job file
    "jm_jobs",
    METADATA,
    Column("job_id", _ID, primary_key=True),
    Column("definition", _DEFINITION, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=_Now()),
    Column("updated_at", Instant, nullable=False, server_default=_NowAtEachChange()),
    **_OPTIONS,
)

MARKERS = Table(  # requests for a reload: `updated` is 0 until the service has performed it
    "jm_update_info",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("updated", SmallInteger, nullable=False, server_default=text("0")),
    Column("insert_time", Instant, nullable=False, server_default=_Now()),
    Column("update_time", Instant),
    Column("jobs_before_update", _LONG),
    Column("jobs_after_update", _LONG),
    Index("jm_update_info_updated", "updated"),
    **_OPTIONS,
)

SYSLOG = Table(  # the lines of the log
    "jm_syslog",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("created_at", Instant, nullable=False, server_default=_Now()),
    Column("level", String(16), nullable=False),
    Column("logger_name", String(128), nullable=False),
    Column("message", Text().with_variant(mysql.TEXT(**_COLLATION), "mysql"), nullable=False),
    Index("jm_syslog_created_at", "created_at"),
    Index("jm_syslog_level", "level", "created_at"),
    **_OPTIONS,
)

# Invariant: the lock's name cannot be guessed, so only an account that may read this table can hold the lock.
SERVICE = Table(  # one row: the name of the service's lock, and the service that took it last
    "jm_service",
    METADATA,
    Column("lock_name", String(64), primary_key=True),
    Column("connection", BigInteger),
    Column("host", String(255)),
    Column("boot", String(128)),
    Column("instance", String(32)),
    Column("pid", BigInteger),
    Column("since", Instant),
    **_OPTIONS,
)
