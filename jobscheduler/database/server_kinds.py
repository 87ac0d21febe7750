"""The statements by which each kind of server locks, names and ends connections."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class ServerKind:
    """The statements of one kind of server."""

    TRY = HOLDING = OWN = END = ""
    LIMITS: tuple[str, ...] = ()

    @classmethod
    def key(cls, name: str) -> str | int:
        """Return what the server calls a lock of this name."""
        return name

    @classmethod
    def try_lock(cls, connection: Connection, name: str) -> bool:
        """Take the lock of this name if it is free; return whether that succeeded."""
        return bool(connection.exec_driver_sql(cls.TRY, (cls.key(name),)).scalar())

    @classmethod
    def holder_id(cls, connection: Connection, name: str) -> int | None:
        """Return the id of the connection that holds the lock, None if none does."""
        connection_id = connection.exec_driver_sql(cls.HOLDING, (cls.key(name),)).scalar()
        return None if connection_id is None else int(connection_id)

    @classmethod
    def own_id(cls, connection: Connection) -> int:
        """Return the id of this connection."""
        return int(connection.exec_driver_sql(cls.OWN).scalar_one())

    @classmethod
    def end_connection(cls, connection: Connection, number: int | None) -> None:
        """End a connection, if it is known."""
        if number is not None:
            connection.exec_driver_sql(cls.END, (number,))

    @classmethod
    def limit_idle_time(cls, connection: Connection, seconds: int) -> None:
        """Have the server end this connection when it has been idle for so long."""
        for statement in cls.LIMITS:
            with suppress(DBAPIError):  # an older server that lacks the setting
                connection.exec_driver_sql(statement.format(seconds))


class _MySQL(ServerKind):
    TRY, HOLDING = "SELECT GET_LOCK(%s, 0)", "SELECT IS_USED_LOCK(%s)"
    OWN, END = "SELECT CONNECTION_ID()", "KILL CONNECTION %s"
    LIMITS = ("SET SESSION wait_timeout = {}",)


class _PostgreSQL(ServerKind):
    TRY = "SELECT pg_try_advisory_lock(%s)"
    HOLDING = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) + objid::bigint = %s"""
    OWN, END = "SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"
    LIMITS = ("SET tcp_keepalives_idle = 60", "SET tcp_keepalives_interval = 15", "SET tcp_keepalives_count = 4")

    @classmethod
    def key(cls, name: str) -> int:
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 1


KINDS: dict[str, type[ServerKind]] = {"mysql": _MySQL, "postgresql": _PostgreSQL}
