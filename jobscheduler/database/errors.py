"""A database that cannot be used now: the driver's reason, in words without secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_RETRYABLE_CODES = {1020, 1205, 1213}  # MySQL: changed since it was read, waited too long for a lock, deadlock

_RETRYABLE_STATES = {"40001", "40P01", "55P03"}  # the same, as the SQL standard and PostgreSQL number them

_TIMEOUT_STATES = {"57014"}  # PostgreSQL has ended a statement that took too long

_SILENT = "see whether its server is up, reachable and not overloaded, and whether another program has locked a table"


class Unavailable(Exception):
    """The database cannot be used now, for the reason in the message. `help` says what to do.

    `retryable` means that only another program's transaction conflicts, `is_silent` that no answer came.
    """

    def __init__(
        self,
        message: str,
        help: str | None = None,  # noqa: A002
        *,
        again: bool = False,
        is_silent: bool = False,
    ) -> None:
        self.is_silent = is_silent
        super().__init__(message)
        self.help = help
        self.retryable = again


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate exceptions of SQLAlchemy to `Unavailable`, without anything secret."""
    try:
        yield
    except DBAPIError as error:
        reason = _reason(error.orig)
        if "timed out" in reason or _sqlstate(error.orig) in _TIMEOUT_STATES:
            raise Unavailable(f"the database does not answer: {reason}", _SILENT, is_silent=True) from None
        raise Unavailable(reason, again=_is_lock_conflict(error.orig)) from None
    except SQLAlchemyError as error:
        raise Unavailable(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None


def _reason(error: BaseException | None) -> str:
    """Return a driver's reason: MySQL's number and text, or the text alone."""
    args: tuple[Any, ...] = getattr(error, "args", ())
    if len(args) > 1 and isinstance(args[0], int):
        return " ".join(f"{args[1]} (MySQL {args[0]})".split())
    return " ".join(str(error).split()) or type(error).__name__


def _is_lock_conflict(error: BaseException | None) -> bool:
    args: tuple[Any, ...] = getattr(error, "args", ())
    busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    return busy or bool(args and args[0] in _RETRYABLE_CODES) or _sqlstate(error) in _RETRYABLE_STATES


def _sqlstate(error: BaseException | None) -> str | None:
    """Return the code of a driver of PostgreSQL: psycopg and the former psycopg2 name it differently."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
