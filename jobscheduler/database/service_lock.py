"""The lock by which one service has a database for itself, as each kind of database can hold one.

1. MySQL and MariaDB: `GET_LOCK`, PostgreSQL: an advisory lock, both with a name that only accounts know that may read
   `jm_service`. It goes with the connection that the service looks with, so that a look needs no further statement.
2. SQLite: `flock` on a file beside it that only its owner can open.
3. The server ends a connection that has been idle for `IDLE`, and its lock with it: a host that crashed has the lock no
   longer. Of a process on this host that is gone the connection is ended at once.
4. A server that restarts, or ends the connection, frees the lock of a service that still runs. That service takes it
   again within `TEND`; another one leaves a free lock for `GRACE` to the service that is named in `jm_service`, unless
   that one gave it back or its process is gone. So the jobs stay where they are: no slot is lost, none runs twice.

Lock: held means that no other service runs these jobs. A service that is frozen or cut off for longer than `IDLE` may
have lost it, and learns that at its next look.
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

IDLE_TIMEOUT_S = 150
"""How long the connection that has the lock may be idle, in seconds."""

CHECK_INTERVAL_S = 1.0
"""How often a service makes sure that it has the lock, in seconds, however seldom it looks for requests."""

HOLDER_GRACE_S = 5.0
"""How long a service leaves a free lock to the one that had it last, in seconds: time for that to take it again."""

LOCK_SUFFIX = "-service"
"""What the name of the file ends with that locks an SQLite database."""

_FILE_WAIT_S = 1.0  # seconds: others hold the file for a moment when they ask who has it
_RETRY_S = 0.02
_LOOK = 0.1


class ServerLock:
    """The lock in a server. One thread uses it, with the connection that it looks with."""

    def __init__(self, me: LockHolder, idle: int = IDLE_TIMEOUT_S, closing: threading.Event | None = None) -> None:
        """`closing` ends a wait for the service that had the lock last."""
        self._holder = me
        self._idle_timeout = idle
        self._closing = closing or threading.Event()
        self._connection: Connection | None = None
        self._number = 0

    def acquire(self, connection: Connection, version: int) -> None:
        """Take the lock on a connection, unless it is held there.

        Raises:
            Taken: another service has it.
            Unavailable: a connection has it that the server has yet to end.

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
        """Make sure that the lock is held on a connection that is open still; take it if the connection is new.

        Raises:
            Taken: another service has it.
            Unavailable: the connection is lost, or is another one than it was.

        """
        kind = _KINDS.get(connection.dialect.name)
        if connection is not self._connection:
            self.acquire(connection, version)
        elif kind is not None:
            with translate_errors():
                if kind.own_id(connection) != self._number:
                    raise Unavailable("the connection with the lock was exchanged for another one")

    def release(self, version: int) -> None:
        """Say in the database that the lock is given back, so that the next service need not wait for this one."""
        if self._connection is not None and self._number and version > 1:
            empty = {"host": None, "since": None}
            with suppress(DBAPIError):
                mine = SERVICE.c.instance == self._holder.instance
                self._connection.execute(update(SERVICE).where(mine).values(**empty))
        self._connection = None

    def _leave_time(self, connection: Connection, kind: type[_ServerKind], name: str) -> None:
        """Leave a free lock to the service that had it last, as that may have lost no more than its connection."""
        last = _last(connection)
        if last is None or last.is_gone(self._holder):
            return
        until = time.monotonic() + HOLDER_GRACE_S
        while kind.holding(connection, name) is None and time.monotonic() < until:
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
        """See which connection has the lock; end it if its process is gone, or was this one before it broke."""
        by = kind.holding(connection, name)
        holder = _read(connection, by) if version > 1 else None
        if holder is not None and holder.may_be_gone(self._holder):
            raise Unavailable(
                f"{DatabaseInUse(holder)}; it was before this host booted",
                f"within {IDLE_TIMEOUT_S} s the server ends it",
            )
        if holder is None or not holder.is_gone(self._holder):
            raise DatabaseInUse(holder)
        with suppress(DBAPIError):  # it may have ended by itself
            kind.end(connection, by)
        until = time.monotonic() + _FILE_WAIT_S
        while not kind.try_(connection, name):
            if time.monotonic() > until:
                raise Unavailable(f"the server still has the connection of a service that is gone ({holder})")
            time.sleep(_RETRY_S)


class FileLock:
    """The lock of an SQLite file. `problem` says why there is none: nothing can be made beside it."""

    def __init__(self, file: str, me: LockHolder) -> None:
        self._path = os.path.realpath(file) + LOCK_SUFFIX
        self._holder = me
        self._descriptor = -1
        self.problem: str | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held.

        Raises:
            Taken: another service has it.
            Unavailable: the file can be opened by others.

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
        """Tell whether the file that is locked is the one that another service would find."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except OSError:
            return False

    def _acquire(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o077:
            raise Unavailable(
                f"the file `{self._path}` can be opened by others", "remove it: the service makes it anew"
            )
        until = time.monotonic() + _FILE_WAIT_S
        while not _flock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > until:
                raise DatabaseInUse(parse_holder(os.pread(descriptor, 4096, 0).decode("utf-8", "replace")))
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._holder.text().encode(), 0)

    def release(self) -> None:
        """Give the database free."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def is_used(database: Database, connection: Connection, version: int) -> bool | None:
    """Tell whether a service has this database; None if that cannot be told. Nothing is taken."""
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


# --- what each kind of server says -----------------------------------------------------------------------


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
        found = connection.exec_driver_sql(cls.HOLDING, (cls.key(name),)).scalar()
        return None if found is None else int(found)

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
            with suppress(DBAPIError):  # a server before it knew the setting
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
    found = connection.execute(select(SERVICE.c.lock_name)).scalar() if version > 1 else None
    if found:
        return str(found)
    return f"jobscheduler.{blake2b(str(connection.engine.url.database).encode(), digest_size=16).hexdigest()}"


def _read(connection: Connection, by: int | None) -> LockHolder | None:
    """Return the service that wrote its name when it took the lock with this connection."""
    row = connection.execute(select(SERVICE)).first()
    return _last(connection) if row is not None and row.connection == by else None


def _last(connection: Connection) -> LockHolder | None:
    """Return the service that took the lock last, None if it gave the lock back."""
    row = connection.execute(select(SERVICE)).first()
    if row is None or row.host is None or row.since is None:
        return None
    return LockHolder(row.host, int(row.pid or 0), row.boot or "", row.instance or "", row.since)


def _write(connection: Connection, me: LockHolder, own: int) -> None:
    """Write which service has the lock; one that may not write is just not named."""
    values = {"host": me.host, "pid": me.pid, "boot": me.boot, "instance": me.instance, "since": me.since}
    with suppress(DBAPIError):
        connection.execute(update(SERVICE).values(connection=own, **values))
