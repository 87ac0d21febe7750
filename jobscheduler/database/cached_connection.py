"""A connection that is kept from one use to the next, for as long as it is good and leads to the right place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress

from sqlalchemy import Connection

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.queries import check_version


class CachedConnection:
    """One connection of one thread. `connect` makes it; its tables are checked then.

    `on_open` is called with each new connection, and with the version of its tables.
    """

    def __init__(
        self,
        database: Database,
        connect: Callable[[], AbstractContextManager[Connection]],
        on_open: Callable[[Connection, int], object] = lambda _, __: None,
    ) -> None:
        self._database = database
        self._connect = connect
        self._on_open = on_open
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._stands: object = None

    @property
    def is_open(self) -> bool:
        """Whether there is one that was used before."""
        return self._connection is not None

    def get(self) -> Connection:
        """Return the connection; a new one if there is none, or if another file has taken the place of SQLite's.

        Raises:
            Unavailable: there is no database, or it has not the right tables.

        """
        stands = self._database.identity()
        if stands != self._stands:
            self.drop()
        if self._connection is None:
            self.drop()  # one that was opened, and that `on_open` had something against
            connection = self._stack.enter_context(self._connect())
            with translate_errors(), connection.begin():
                self._on_open(connection, check_version(connection))
            self._connection, self._stands = connection, stands
        return self._connection

    def drop(self) -> None:
        """Close the connection, if there is one."""
        stack, self._stack, self._connection = self._stack, ExitStack(), None
        with suppress(Unavailable):  # it may be dead already
            stack.close()
