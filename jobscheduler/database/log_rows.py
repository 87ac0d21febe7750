"""Write lines of the log as rows of `jm_syslog`, on a connection that is reused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, insert

from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.queries import read_server
from jobscheduler.database.tables import SYSLOG
from jobscheduler.model import Event, LogEntry, Record, Status

Copied: TypeAlias = tuple[LogEntry, bytes]  # an entry of the log, and its line there

_LEVELS = {Status.SUCCESS: "INFO", Status.SKIPPED: "INFO", Status.MISSED: "WARNING", Status.FAILURE: "ERROR"}
_MAX_QUOTING = 3  # a line grows at most by this factor in a statement, except for unprintable characters
_PROBE = {"created_at": datetime(2000, 1, 1, tzinfo=UTC), "level": "INFO", "logger_name": "probe", "message": "probe"}


class RowsRefused(Exception):
    """The database refused the rows, and the connection still works."""


class LogRows:
    """The rows of log lines.

    Thread: one.
    """

    def __init__(self, database: Database) -> None:
        self._connection = CachedConnection(database, database.connect, self._note)
        self._max_packet: int | None = None

    def _note(self, connection: Connection, _: int) -> None:
        self._max_packet = read_server(connection).max_packet

    def max_statement_bytes(self, limit: int) -> int:
        """Return how many bytes of lines one batch may have, at most `limit`."""
        return limit if self._max_packet is None else min(limit, self._max_packet // _MAX_QUOTING)

    def write(self, batch: Sequence[Copied]) -> None:
        """Write lines, all of them or none.

        Raises:
            RowsRefused: the database refused them, and still answers.
            Unavailable: the database cannot be used.

        """
        self._insert([log_row(entry, line) for entry, line in batch])

    def write_plain(self, line: Copied) -> bool:
        """Write a refused line with everything outside ASCII escaped; return whether the database took it.

        Raises:
            Unavailable: the database takes no line at all now.

        """
        self._probe()
        values = log_row(*line)
        values["message"] = values["message"].encode("ascii", "backslashreplace").decode("ascii")
        try:
            self._insert([values])
        except RowsRefused:  # the caller logs the line as lost
            return False
        return True

    def _probe(self) -> None:
        """Check that the database takes a harmless line, which is rolled back at once."""
        connection = self._connection.get()
        with translate_errors():
            transaction = connection.begin()
            connection.execute(insert(SYSLOG), [_PROBE])
            transaction.rollback()

    def _insert(self, values: list[dict[str, Any]]) -> None:
        connection = self._connection.get()
        try:
            with translate_errors(), connection.begin():
                connection.execute(insert(SYSLOG), values)
        except Unavailable as reason:
            if reason.is_silent or connection.invalidated or connection.closed:
                raise
            raise RowsRefused(str(reason)) from None

    def drop(self) -> None:
        """Close the connection."""
        self._connection.drop()


def log_row(entry: LogEntry, line: bytes) -> dict[str, Any]:
    """Return the row of a line: a record has the level that a program's log would give it."""
    at: datetime = entry.at if entry.at.tzinfo else entry.at.replace(tzinfo=UTC)
    message = line.decode("utf-8", "replace").rstrip("\n")
    if isinstance(entry, Record):
        return {"created_at": at, "level": _LEVELS[entry.status], "logger_name": "record", "message": message}
    assert isinstance(entry, Event)  # noqa: S101 - there are only these two kinds
    return {"created_at": at, "level": entry.level.value, "logger_name": entry.name[:128], "message": message}
