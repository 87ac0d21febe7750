"""Parse URLs of databases so that no part of a password can pass for the name of a host or of a database."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from jobscheduler.database.setup import DatabaseConfigError
from jobscheduler.model import Problem

EXAMPLES = "such as `mysql://user:password@host/database` or `sqlite:////var/lib/scheduler/jobs.db`"  # two valid URLs

_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "mariadb+pymysql": "mysql+pymysql"}
_ESCAPES = "in a user name or a password write `@` as `%40`, `/` as `%2F` and `?` as `%3F`"


def read_url(text: str) -> URL:
    """Parse the URL of a database.

    Raises:
        DatabaseConfigError: it is not a URL, or it is ambiguous. The problem repeats no part of it.

    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # without the error: its message contains the URL
        raise DatabaseConfigError(
            Problem("the URL of the database cannot be read", help=f"write it {EXAMPLES}")
        ) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() != "sqlite":
        _refuse_two_readings(text)
    elif url.database in {None, "", ":memory:"}:
        help_ = "name one, such as `sqlite:////var/lib/scheduler/jobs.db`"
        raise DatabaseConfigError(Problem("an SQLite database has to be in a file", help=help_))
    return url


def _refuse_two_readings(text: str) -> None:
    """Refuse a bare `@` in a password or in an option: the text after it would be taken for the host."""
    before, at, after = text.partition("://")[2].partition("@")
    if "@" in after:
        raise DatabaseConfigError(Problem("the URL of the database has more than one `@`", help=_ESCAPES))
    if at and ("?" in before or "/" in before):
        raise DatabaseConfigError(Problem("the URL of the database has a `/` or a `?` before its `@`", help=_ESCAPES))
