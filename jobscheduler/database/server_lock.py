"""Lock a database in a server for one service. The lock belongs to the connection that polls for requests."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.exc import DBAPIError

from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.lock_holder import DatabaseInUse, LockHolder
from jobscheduler.database.server_kinds import KINDS, ServerKind
from jobscheduler.database.tables import SERVICE

IDLE_TIMEOUT_S = 150  # seconds that the connection with the lock may be idle

HOLDER_GRACE_S = 5.0  # seconds that a free lock is left to its last holder, so that it can take it again

_END_WAIT_S = 1.0  # seconds for the server to end the connection of a process that is gone
_RETRY_S = 0.02  # seconds between two tries
_HOLDER_POLL_S = 0.1  # seconds between two checks whether the last holder is back


class ServerLock:
    """The lock in a server.

    Thread: one, with the connection that it polls with.
    """

    def __init__(
        self, this_service: LockHolder, idle: int = IDLE_TIMEOUT_S, closing: threading.Event | None = None
    ) -> None:
        """`closing` ends a wait for the last holder."""
        self._holder = this_service
        self._idle_timeout = idle
        self._closing = closing or threading.Event()
        self._connection: Connection | None = None
        self._number = 0

    def acquire(self, connection: Connection, version: int) -> None:
        """Take the lock on a connection, unless it is held there.

        Raises:
            DatabaseInUse: another service holds it.
            Unavailable: a connection holds it that the server has yet to end.

        """
        if connection is self._connection:
            return
        self._connection = None
        kind = KINDS.get(connection.dialect.name)
        if kind is not None:
            with translate_errors():
                self._acquire(connection, kind, version)
        self._connection = connection

    def confirm(self, connection: Connection, version: int) -> None:
        """Check that the lock is still held on an open connection; take it if the connection is new.

        Raises:
            DatabaseInUse: another service holds it.
            Unavailable: the connection is lost, or was replaced by another one.

        """
        kind = KINDS.get(connection.dialect.name)
        if connection is not self._connection:
            self.acquire(connection, version)
        elif kind is not None:
            with translate_errors():
                if kind.own_id(connection) != self._number:
                    raise Unavailable("the connection with the lock was replaced by another one")

    def release(self, version: int) -> None:
        """Record in the database that the lock is released, so that the next service need not wait."""
        if self._connection is not None and self._number and version > 1:
            empty = {"host": None, "since": None}
            with suppress(DBAPIError):
                own_row = SERVICE.c.instance == self._holder.instance
                self._connection.execute(update(SERVICE).where(own_row).values(**empty))
        self._connection = None

    def _acquire(self, connection: Connection, kind: type[ServerKind], version: int) -> None:
        name = _name(connection, version)
        if not self._take_if_free(connection, kind, name, version):
            self._replace_gone_holder(connection, kind, name, version)
        kind.limit_idle_time(connection, self._idle_timeout)
        self._number = kind.own_id(connection)
        if version > 1:
            _write(connection, self._holder, self._number)

    def _take_if_free(self, connection: Connection, kind: type[ServerKind], name: str, version: int) -> bool:
        """Take the lock if it is free; return whether it was.

        It is left to its last holder for a while: that may have lost only its connection. For the same reason a lock
        that was held a moment ago is not free.
        """
        last = _last_holder(connection) if version > 1 else None
        if last is not None and not last.is_gone(self._holder):
            deadline = time.monotonic() + HOLDER_GRACE_S
            while time.monotonic() < deadline:
                if kind.holder_id(connection, name) is not None:
                    return False
                if self._closing.wait(_HOLDER_POLL_S):
                    raise Unavailable("the service ends")
        return kind.try_lock(connection, name)

    def _replace_gone_holder(self, connection: Connection, kind: type[ServerKind], name: str, version: int) -> None:
        """Find the connection that holds the lock; end it if its process is gone, and take the lock.

        That process may also be this one before its connection broke.
        """
        connection_id = kind.holder_id(connection, name)
        holder = _holder_with(connection, connection_id) if version > 1 else None
        if version > 1 and connection_id is None:  # it has just lost its connection
            holder = _last_holder(connection)
        if holder is not None and holder.may_be_gone(self._holder):
            raise Unavailable(
                f"{DatabaseInUse(holder)}; it was before this host booted",
                f"within {IDLE_TIMEOUT_S} s the server ends it",
            )
        if holder is None or not holder.is_gone(self._holder):
            raise DatabaseInUse(holder)
        if connection_id is not None:
            with suppress(DBAPIError):  # the connection may have ended by itself
                kind.end_connection(connection, connection_id)
        deadline = time.monotonic() + _END_WAIT_S
        while not kind.try_lock(connection, name):
            if time.monotonic() > deadline:
                raise Unavailable(f"the server still has the connection of a service that is gone ({holder})")
            time.sleep(_RETRY_S)


def is_server_locked(connection: Connection, version: int) -> bool | None:
    """Return whether a service holds the lock of this database; None if that is unknown. Takes no lock."""
    kind = KINDS.get(connection.dialect.name)
    if kind is None:
        return None
    with translate_errors():
        return kind.holder_id(connection, _name(connection, version)) is not None


def _name(connection: Connection, version: int) -> str:
    lock_name = connection.execute(select(SERVICE.c.lock_name)).scalar() if version > 1 else None
    if lock_name:
        return str(lock_name)
    return f"jobscheduler.{blake2b(str(connection.engine.url.database).encode(), digest_size=16).hexdigest()}"


def _holder_with(connection: Connection, connection_id: int | None) -> LockHolder | None:
    """Return the service that took the lock with this connection, None if another connection is recorded."""
    row = connection.execute(select(SERVICE)).first()
    return _holder_in(row) if row is not None and row.connection == connection_id else None


def _last_holder(connection: Connection) -> LockHolder | None:
    """Return the service that took the lock last, None if it released the lock."""
    return _holder_in(connection.execute(select(SERVICE)).first())


def _holder_in(row: Row[Any] | None) -> LockHolder | None:
    if row is None or row.host is None or row.since is None:
        return None
    return LockHolder(row.host, int(row.pid or 0), row.boot or "", row.instance or "", row.since)


def _write(connection: Connection, this_service: LockHolder, connection_id: int) -> None:
    """Record which service holds the lock; an account that may not write stays unnamed."""
    values = {
        "host": this_service.host,
        "pid": this_service.pid,
        "boot": this_service.boot,
        "instance": this_service.instance,
        "since": this_service.since,
    }
    with suppress(DBAPIError):
        connection.execute(update(SERVICE).values(connection=connection_id, **values))
