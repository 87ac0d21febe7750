"""A connection that is reused as long as it works and leads to the same database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TypeVar

from sqlalchemy import Connection

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.queries import check_version

T = TypeVar("T")


class CachedConnection:
    """One connection of one thread. `connect` opens it; then `check` checks the tables and returns their version.

    `on_open` is called with each new connection, and with the version of its tables.
    """

    def __init__(
        self,
        database: Database,
        connect: Callable[[], AbstractContextManager[Connection]],
        on_open: Callable[[Connection, int], object] = lambda _, __: None,
        check: Callable[[Connection], int] = check_version,
    ) -> None:
        self._database = database
        self._connect = connect
        self._on_open = on_open
        self._check = check
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._stands: object = None

    @property
    def is_open(self) -> bool:
        """Whether a connection is open that was used before."""
        return self._connection is not None

    def get(self) -> Connection:
        """Return the connection; open a new one if there is none, or if SQLite's file was replaced.

        Raises:
            Unavailable: there is no database, or its tables are wrong.

        """
        identity = self._database.identity()
        if identity != self._stands:
            self.drop()
        if self._connection is None:
            self.drop()  # one that was opened, but that `on_open` rejected
            connection = self._stack.enter_context(self._connect())
            with translate_errors(), connection.begin():
                self._on_open(connection, self._check(connection))
            self._connection, self._stands = connection, identity
        return self._connection

    def repeated(self, request: Callable[[], T]) -> T:
        """Make a request with this connection. If that broke since the last one, reconnect and make it once more.

        Raises:
            Unavailable: the database cannot be used.

        """
        was_open = self.is_open
        try:
            return request()
        except Unavailable as reason:
            self.drop()
            if not was_open or reason.is_silent:
                raise
        return request()

    def drop(self) -> None:
        """Close the connection, if there is one."""
        stack, self._stack, self._connection = self._stack, ExitStack(), None
        with suppress(Unavailable):  # it may be dead already
            stack.close()
