"""Lock a database for one service, in the way that each kind of database offers.

1. MySQL and MariaDB use `GET_LOCK`, PostgreSQL an advisory lock (`server_lock.py`). Only accounts that may read
   `jm_service` know the lock's name. The lock belongs to the connection that polls for requests, so a poll needs no
   further statement.
2. SQLite uses `flock` on a file beside the database that only its owner can open (`file_lock.py`).
3. The server ends a connection that has been idle for `IDLE_TIMEOUT_S`, and its lock with it: so a crashed host does
   not keep the lock. If the holder was a process of this host that is gone, its connection is ended at once.
4. A server that restarts, or ends the connection, frees the lock of a service that still runs. That service takes it
   again within `CHECK_INTERVAL_S`. Another service first leaves a free lock for `HOLDER_GRACE_S` to the last holder
   named in `jm_service`, unless that one released it or its process is gone. So the jobs stay where they are: no slot
   is lost, none runs twice.

Lock: while it is held, no other service runs these jobs. A service that was frozen or cut off for longer than
`IDLE_TIMEOUT_S` may have lost it, and learns that at its next check.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import Connection

from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.file_lock import FileLock, is_file_locked
from jobscheduler.database.lock_holder import current_holder
from jobscheduler.database.server_lock import ServerLock, is_server_locked
from jobscheduler.database.tables import VERSION
from jobscheduler.model import EventLogger, Level

CHECK_INTERVAL_S = 1.0  # seconds between two checks that the lock is held, however seldom requests are polled

T = TypeVar("T")


class ServiceLock:
    """The lock of a database, and the connection that polls it while the lock is held.

    Thread: one; `problem` and `release_file` for any.
    """

    def __init__(self, database: Database, log_event: EventLogger, closing: threading.Event) -> None:
        """`closing` ends a wait for the last holder."""
        this_service = current_holder()
        self._database = database
        self._log_event = log_event
        self._polling = CachedConnection(database, database.polling, self._note_version)
        self._version = VERSION
        self._server = ServerLock(this_service, closing=closing)
        self._file = None if database.file is None else FileLock(database.file, this_service)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask a question with the lock held. If the connection broke since the last one, reconnect and ask once more.

        Raises:
            DatabaseInUse: another service holds the lock.
            Unavailable: the database cannot be used.

        """
        return self._polling.repeated(lambda: self._ask(question))

    def confirm(self) -> bool:
        """Ensure that the lock is held; if its connection broke, reconnect first. Return whether it is a new one.

        Raises:
            DatabaseInUse: another service holds the lock.
            Unavailable: the database cannot be used.

        """
        was_open = self._polling.is_open
        try:
            return self._confirm()
        except Unavailable as reason:
            self._polling.drop()
            if not was_open or reason.is_silent:
                raise
        return self._confirm()

    def drop(self) -> None:
        """Close the connection, and so leave the lock of a server."""
        self._polling.drop()

    def release(self) -> None:
        """Record in the database that the lock is released, and close the connection."""
        with suppress(Exception):  # the connection is closed in any case, which releases the lock of a server
            self._server.release(self._version)
        self._polling.drop()

    def release_file(self) -> None:
        """Release the lock of a file."""
        if self._file is not None:
            self._file.release()

    def problem(self) -> str | None:
        """Return why there is no lock although the database can be used; None if there is one."""
        return None if self._file is None else self._file.problem

    def _ask(self, question: Callable[[Connection], T]) -> T:
        if not self._polling.is_open:
            self._database.check_trust()
        if self._file is not None:
            self._acquire_file(self._file)
        connection = self._polling.get()
        self._server.acquire(connection, self._version)
        with translate_errors():
            return question(connection)

    def _confirm(self) -> bool:
        if self._file is not None:
            self._acquire_file(self._file)
            return False
        was_open = self._polling.is_open
        self._server.confirm(self._polling.get(), self._version)
        return not was_open

    def _acquire_file(self, file: FileLock) -> None:
        self._database.identity()  # raises if the database is missing: then there is nothing to lock
        file.acquire()

    def _note_version(self, _: Connection, version: int) -> None:
        """Store the version of the tables; log once that an older version lacks something."""
        if version < VERSION <= self._version:
            problem = f"the tables have version {version}, and this service knows version {VERSION}"
            help_ = "they are used as they are; `jobscheduler db init` adds what is new"
            self._log_event(Level.WARNING, "database.outdated", problem=problem, help=help_)
        self._version = version


def is_used(database: Database, connection: Connection, version: int) -> bool | None:
    """Return whether a service holds this database; None if that is unknown. Takes no lock."""
    if database.file is not None:
        return is_file_locked(database.file)
    return is_server_locked(connection, version)
