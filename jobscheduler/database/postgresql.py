"""Limits of time on a connection to PostgreSQL, which has none by itself: neither the server nor its drivers set any.

1. The driver limits the time to connect, and how long the kernel sends again what the network does not deliver.
2. The server limits each statement, with its waits for locks, and ends a transaction that its program has left idle.

A server process that is stopped obeys neither: the driver waits for it, and `status` names it meanwhile.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL

IDLE_TRANSACTION_TIMEOUT_S = 60  # seconds that a transaction may be idle; meanwhile its locks stop other programs

_LIBPQ_DRIVERS = {"psycopg", "psycopg2"}  # drivers that pass these arguments on to PostgreSQL's own library
_LIMIT = text(
    "SELECT set_config(name, CASE name WHEN 'statement_timeout' THEN :statement ELSE :idle END, false)"
    " FROM pg_settings WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') AND setting = '0'"
)


def connect_arguments(url: URL, connect_timeout: int, answer_timeout: int) -> dict[str, Any]:
    """Return the driver's arguments for these limits, in seconds. Options of the URL win over them."""
    if url.get_driver_name() not in _LIBPQ_DRIVERS:
        return {}
    limits = {"connect_timeout": connect_timeout, "tcp_user_timeout": answer_timeout * 1000}
    return {name: value for name, value in limits.items() if name not in url.query}


def limit_time(connection: Connection, answer_timeout: int) -> None:
    """Limit each statement on a new connection, in seconds, and its idle transactions.

    A limit that the account, the database or the URL already has stays. It is a statement and no option of the
    connection, because a proxy such as PgBouncer refuses that.
    """
    milliseconds = {"statement": str(answer_timeout * 1000), "idle": str(IDLE_TRANSACTION_TIMEOUT_S * 1000)}
    with connection.begin():
        connection.execute(_LIMIT, milliseconds)


def lift_statement_limit(connection: Connection) -> None:
    """Let the statements of the present transaction take as long as they need."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))


def limit_statements(connection: Connection, seconds: int) -> None:
    """Limit each further statement on the connection."""
    connection.execute(text(f"SET statement_timeout = {seconds * 1000:d}"))
