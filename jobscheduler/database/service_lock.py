"""Lock a database for one service, in the way that each kind of database offers.

1. MySQL and MariaDB use `GET_LOCK`, PostgreSQL an advisory lock. Only accounts that may read `jm_service` know the
   lock's name. The lock belongs to the connection that polls for requests, so a poll needs no further statement.
2. SQLite uses `flock` on a file beside the database that only its owner can open.
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

import fcntl
import os
import stat
import threading
import time
from contextlib import suppress
from hashlib import blake2b

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.lock_holder import DatabaseInUse, LockHolder, parse_holder
from jobscheduler.database.tables import SERVICE

IDLE_TIMEOUT_S = 150  # seconds that the connection with the lock may be idle

CHECK_INTERVAL_S = 1.0  # seconds between two checks that the lock is held, however seldom requests are polled

HOLDER_GRACE_S = 5.0  # seconds that a free lock is left to its last holder, so that it can take it again

LOCK_SUFFIX = "-service"  # appended to the name of an SQLite database for its lock file

_FILE_WAIT_S = 1.0  # seconds: other processes lock the file for a moment to see whether it is in use
_RETRY_S = 0.02  # seconds between two tries
_LOOK = 0.1  # seconds between two checks whether the last holder is back


class ServerLock:
    """The lock in a server.

    Thread: one, with the connection that it polls with.
    """

    def __init__(self, me: LockHolder, idle: int = IDLE_TIMEOUT_S, closing: threading.Event | None = None) -> None:
        """`closing` ends a wait for the last holder."""
        self._holder = me
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
        kind = _KINDS.get(connection.dialect.name)
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
        kind = _KINDS.get(connection.dialect.name)
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

    def _leave_time(self, connection: Connection, kind: type[_ServerKind], name: str) -> None:
        """Leave a free lock to its last holder for a while: that may have lost only its connection."""
        last = _last(connection)
        if last is None or last.is_gone(self._holder):
            return
        deadline = time.monotonic() + HOLDER_GRACE_S
        while kind.holding(connection, name) is None and time.monotonic() < deadline:
            if self._closing.wait(_LOOK):
                raise Unavailable("the service ends")

    def _acquire(self, connection: Connection, kind: type[_ServerKind], version: int) -> None:
        name = _name(connection, version)
        if version > 1:
            self._leave_time(connection, kind, name)
        if not kind.try_(connection, name):
            self._try(connection, kind, name, version)
        kind.limit(connection, self._idle_timeout)
        self._number = kind.own_id(connection)
        if version > 1:
            _write(connection, self._holder, self._number)

    def _try(self, connection: Connection, kind: type[_ServerKind], name: str, version: int) -> None:
        """Find the connection that holds the lock; end it if its process is gone.

        That process may also be this one before its connection broke.
        """
        connection_id = kind.holding(connection, name)
        holder = _read(connection, connection_id) if version > 1 else None
        if holder is not None and holder.may_be_gone(self._holder):
            raise Unavailable(
                f"{DatabaseInUse(holder)}; it was before this host booted",
                f"within {IDLE_TIMEOUT_S} s the server ends it",
            )
        if holder is None or not holder.is_gone(self._holder):
            raise DatabaseInUse(holder)
        with suppress(DBAPIError):  # the connection may have ended by itself
            kind.end(connection, connection_id)
        deadline = time.monotonic() + _FILE_WAIT_S
        while not kind.try_(connection, name):
            if time.monotonic() > deadline:
                raise Unavailable(f"the server still has the connection of a service that is gone ({holder})")
            time.sleep(_RETRY_S)


class FileLock:
    """The lock of an SQLite file. `problem` says why there is none: its file cannot be opened."""

    def __init__(self, file: str, me: LockHolder) -> None:
        self._path = os.path.realpath(file) + LOCK_SUFFIX
        self._holder = me
        self._descriptor = -1
        self.problem: str | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held.

        Raises:
            DatabaseInUse: another service holds it.
            Unavailable: other users can open the file.

        """
        if self._descriptor >= 0:
            if self._is_there():
                return
            self.release()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self.problem = f"`{self._path}` cannot be opened, so another service on this database stays unnoticed: "
            self.problem += str(error.strerror).lower()
            return
        self.problem = None
        try:
            self._acquire(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _is_there(self) -> bool:
        """Return whether the locked file is still the one that another service would find."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except OSError:
            return False

    def _acquire(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o077:
            raise Unavailable(
                f"the file `{self._path}` can be opened by others", "remove it: the service makes it anew"
            )
        deadline = time.monotonic() + _FILE_WAIT_S
        while not _flock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DatabaseInUse(parse_holder(os.pread(descriptor, 4096, 0).decode("utf-8", "replace")))
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._holder.text().encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def is_used(database: Database, connection: Connection, version: int) -> bool | None:
    """Return whether a service holds this database; None if that is unknown. Takes no lock."""
    if database.file is not None:
        return _is_file_used(os.path.realpath(database.file) + LOCK_SUFFIX)
    kind = _KINDS.get(connection.dialect.name)
    if kind is None:
        return None
    with translate_errors():
        return kind.holding(connection, _name(connection, version)) is not None


def _is_file_used(path: str) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not _flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- the statements of each kind of server ----------------------------------------------------------------


class _ServerKind:
    """The statements of one kind of server."""

    TRY = HOLDING = OWN = END = ""
    LIMITS: tuple[str, ...] = ()

    @classmethod
    def key(cls, name: str) -> str | int:
        return name

    @classmethod
    def try_(cls, connection: Connection, name: str) -> bool:
        return bool(connection.exec_driver_sql(cls.TRY, (cls.key(name),)).scalar())

    @classmethod
    def holding(cls, connection: Connection, name: str) -> int | None:
        connection_id = connection.exec_driver_sql(cls.HOLDING, (cls.key(name),)).scalar()
        return None if connection_id is None else int(connection_id)

    @classmethod
    def own_id(cls, connection: Connection) -> int:
        return int(connection.exec_driver_sql(cls.OWN).scalar_one())

    @classmethod
    def end(cls, connection: Connection, number: int | None) -> None:
        if number is not None:
            connection.exec_driver_sql(cls.END, (number,))

    @classmethod
    def limit(cls, connection: Connection, seconds: int) -> None:
        for statement in cls.LIMITS:
            with suppress(DBAPIError):  # an older server that lacks the setting
                connection.exec_driver_sql(statement.format(seconds))


class _MySQL(_ServerKind):
    TRY, HOLDING = "SELECT GET_LOCK(%s, 0)", "SELECT IS_USED_LOCK(%s)"
    OWN, END = "SELECT CONNECTION_ID()", "KILL CONNECTION %s"
    LIMITS = ("SET SESSION wait_timeout = {}",)


class _PostgreSQL(_ServerKind):
    TRY = "SELECT pg_try_advisory_lock(%s)"
    HOLDING = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) + objid::bigint = %s"""
    OWN, END = "SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"
    LIMITS = ("SET tcp_keepalives_idle = 60", "SET tcp_keepalives_interval = 15", "SET tcp_keepalives_count = 4")

    @classmethod
    def key(cls, name: str) -> int:
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 1


_KINDS: dict[str, type[_ServerKind]] = {"mysql": _MySQL, "postgresql": _PostgreSQL}


def _name(connection: Connection, version: int) -> str:
    lock_name = connection.execute(select(SERVICE.c.lock_name)).scalar() if version > 1 else None
    if lock_name:
        return str(lock_name)
    return f"jobscheduler.{blake2b(str(connection.engine.url.database).encode(), digest_size=16).hexdigest()}"


def _read(connection: Connection, connection_id: int | None) -> LockHolder | None:
    """Return the service that took the lock with this connection, None if another connection is recorded."""
    row = connection.execute(select(SERVICE)).first()
    return _last(connection) if row is not None and row.connection == connection_id else None


def _last(connection: Connection) -> LockHolder | None:
    """Return the service that took the lock last, None if it released the lock."""
    row = connection.execute(select(SERVICE)).first()
    if row is None or row.host is None or row.since is None:
        return None
    return LockHolder(row.host, int(row.pid or 0), row.boot or "", row.instance or "", row.since)


def _write(connection: Connection, me: LockHolder, own: int) -> None:
    """Record which service holds the lock; an account that may not write stays unnamed."""
    values = {"host": me.host, "pid": me.pid, "boot": me.boot, "instance": me.instance, "since": me.since}
    with suppress(DBAPIError):
        connection.execute(update(SERVICE).values(connection=own, **values))
