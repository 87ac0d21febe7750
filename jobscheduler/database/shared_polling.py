"""The connection on which a node of a cluster polls a database that all nodes share.

It takes no lock: the cluster decides which node runs the jobs. A service that is none of its nodes would run them once
more; while one holds the lock of the database, that is a problem which the nodes tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import translate_errors
from jobscheduler.database.service_lock import is_used

T = TypeVar("T")

_PROBLEM = "another service, which is no node of this cluster, runs the jobs of the database, too"


class SharedPolling:
    """Stands in for `ServiceLock` on a node. Thread: one; `problem` for any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._polling = CachedConnection(database, database.polling, self._look_for_others)
        self._is_used = False

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask a question. If the connection broke since the last one, reconnect and ask once more.

        Raises:
            Unavailable: the database cannot be used.

        """
        return self._polling.repeated(lambda: self._ask(question))

    def confirm(self) -> bool:
        """Return False: there is no lock to confirm, and the next poll finds out whether the connection works."""
        return False

    def drop(self) -> None:
        """Close the connection."""
        self._polling.drop()

    def release(self) -> None:
        """Close the connection."""
        self._polling.drop()

    def release_file(self) -> None:
        """Release nothing: no file is locked."""

    def problem(self) -> str | None:
        """Return that another service runs the same jobs, if one was found; None otherwise."""
        return _PROBLEM if self._is_used else None

    def _ask(self, question: Callable[[Connection], T]) -> T:
        if not self._polling.is_open:
            self._database.check_trust()
        connection = self._polling.get()
        with translate_errors():
            return question(connection)

    def _look_for_others(self, connection: Connection, version: int) -> None:
        self._is_used = bool(is_used(self._database, connection, version))
