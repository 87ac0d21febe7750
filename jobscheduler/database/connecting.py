"""The door to SQLAlchemy's engines: one database, its three kinds of connection, and its faults in words.

MySQL and MariaDB through PyMySQL, SQLite with what Python brings; any other that SQLAlchemy has a driver for. What a
fault says never has a password, a parameter or a statement in it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from jobscheduler.database.admission import CannotUse
from jobscheduler.database.sqlite_file import Place, new_place_of, place_of
from jobscheduler.model import Problem
from jobscheduler.sources import trust

CONNECTING = 5
"""How long a server may take to answer at first, in seconds."""

PATIENCE = 30
"""How long an answer may take afterwards, or a lock, in seconds."""

EXAMPLES = "such as `mysql://user:password@host/database` or `sqlite:////var/lib/scheduler/jobs.db`"
"""What a URL looks like."""

_BEGIN = "jobscheduler_begin"
_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "mariadb+pymysql": "mysql+pymysql"}
_AGAIN = {1020, 1205, 1213}  # MySQL: changed since it was read, waited too long for a lock, deadlock

_AGAIN_ELSEWHERE = {"40001", "40P01"}  # the same, as the SQL standard and PostgreSQL number them


class Unavailable(Exception):
    """The database cannot be used now, for the reason in the message. `help` is the way out.

    `again` says that it is only somebody else's transaction that was in the way.
    """

    def __init__(self, message: str, help: str | None = None, *, again: bool = False) -> None:  # noqa: A002
        super().__init__(message)
        self.help = help
        self.again = again


class Database:
    """One database. Every connection is made anew, and belongs to the thread that asked for it."""

    def __init__(self, url: str) -> None:
        """Take a URL, and connect to nothing yet.

        Raises:
            CannotUse: it is none, or there is no driver for it.

        """
        self._url = _read(url)
        self.file = _file_of(self._url)
        self._engine = _engine(self._url)
        if self.file is not None:
            event.listen(self._engine, "do_connect", self._connect_to_file)

    def __str__(self) -> str:
        """Where it is, without user, password and options."""
        if self.file is not None:
            return self.file
        url = self._url
        return str(URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, whatever others do meanwhile.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connected() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for changes that all take effect together when it is left, or none of them.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connected(create=create) as connection:
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    @contextmanager
    def polling(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for single questions: each sees the present, and costs nothing but itself.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connected(create=create) as connection:
            options: dict[str, Any] = {_BEGIN: None}
            if self.file is None:
                options["isolation_level"] = "AUTOCOMMIT"
            yield connection.execution_options(**options)

    @contextmanager
    def connected(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for whatever transactions are begun on it; with `create` an SQLite file is made.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        if not create:
            self.identity()  # SQLite would make the file
        if create:
            self._find_place()
        with told():
            connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.invalidate()  # it may be dead, or in the middle of an answer: nothing is asked of it
                raise
            finally:
                connection.close()

    def _connect(self) -> Connection:
        """Make a connection; what a driver has against the options in the URL is no fault of ours."""
        try:
            return self._engine.connect()
        except RuntimeError as error:
            if "cryptography" not in str(error):
                raise
            why = "the server asks for a password exchange that needs the Python package `cryptography`"
            raise Unavailable(why, "`pip install 'PyMySQL[rsa]'` into the service's own environment") from None
        except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
            raise Unavailable(
                f"no connection can be made as the URL says ({type(error).__name__})", "are its options right?"
            ) from None

    def _find_place(self) -> None:
        if self.file is not None and not Path(self.file).absolute().parent.is_dir():
            raise Unavailable(f"there is no directory for the database file `{self.file}`", "make it first")

    def identity(self) -> tuple[int, int] | None:
        """Return what tells an SQLite file from another one under its name; None for other databases.

        Raises:
            Unavailable: there is no such file.

        """
        if self.file is None:
            return None
        try:
            found = os.stat(self.file)  # noqa: PTH116 - as it was given
        except OSError as error:
            raise _no_file(self.file, error.strerror) from None
        return found.st_dev, found.st_ino

    def distrust(self) -> trust.Distrust | None:
        """Say who else may write an SQLite file, and so have commands run; of other databases nothing can be told."""
        if self.file is None:
            return None
        try:
            return place_of(self.file).distrust
        except OSError as error:
            raise Unavailable(f"the database file `{self.file}` cannot be read: {error.strerror}") from None

    def _connect_to_file(self, dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Open an SQLite file where it really is, once that was judged, and see whether it is the judged file.

        No other user can exchange it in between: every directory on that way is closed to them.
        """
        place = self._trusted_place()
        arguments[0] = place.path
        connection = dialect.connect(*arguments, **options)
        found = os.stat(place.path)  # noqa: PTH116
        if place.identity not in {None, (found.st_dev, found.st_ino)}:
            connection.close()
            raise Unavailable(f"the database file `{self.file}` is being replaced", again=True)
        return connection

    def _trusted_place(self) -> Place:
        file = self.file or ""
        try:
            place = new_place_of(file)
        except OSError as error:
            raise _no_file(file, error.strerror) from None
        if place.distrust is not None:
            raise Unavailable(place.distrust.message, place.distrust.help)
        return place


@contextmanager
def told() -> Iterator[None]:
    """Turn what SQLAlchemy raises into `Unavailable`, with nothing secret in it."""
    try:
        yield
    except DBAPIError as error:
        raise Unavailable(_reason(error.orig), again=_is_in_the_way(error.orig)) from None
    except SQLAlchemyError as error:
        raise Unavailable(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None


def _no_file(file: str, reason: str | None) -> Unavailable:
    return Unavailable(
        f"the database file `{file}` cannot be used: {str(reason).lower()}", "`jobscheduler db init` makes it"
    )


def _reason(error: BaseException | None) -> str:
    """Say what a driver has against it: MySQL's number and text, or the text alone."""
    args: tuple[Any, ...] = getattr(error, "args", ())
    if len(args) > 1 and isinstance(args[0], int):
        return " ".join(f"{args[1]} (MySQL {args[0]})".split())
    return " ".join(str(error).split()) or type(error).__name__


def _is_in_the_way(error: BaseException | None) -> bool:
    args: tuple[Any, ...] = getattr(error, "args", ())
    busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    return busy or bool(args and args[0] in _AGAIN) or getattr(error, "sqlstate", None) in _AGAIN_ELSEWHERE


def _read(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # their messages have the text in it
        raise CannotUse(Problem("the URL of the database cannot be read", help=f"write it {EXAMPLES}")) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        help_ = "name one, such as `sqlite:////var/lib/scheduler/jobs.db`"
        raise CannotUse(Problem("an SQLite database has to be in a file", help=help_))
    return url


def _file_of(url: URL) -> str | None:
    return url.database if url.get_backend_name() == "sqlite" else None


def _engine(url: URL) -> Engine:
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": PATIENCE}
    else:
        options["isolation_level"] = "REPEATABLE READ"
    if url.drivername == "mysql+pymysql":
        options["connect_args"] = {
            "connect_timeout": CONNECTING,
            "read_timeout": PATIENCE,
            "write_timeout": PATIENCE,
            "charset": "utf8mb4",
            "init_command": "SET time_zone = '+00:00'",
        }
    try:
        engine = create_engine(url, **options)
    except NoSuchModuleError:
        known = f"SQLAlchemy knows no database `{url.drivername}`"
        raise CannotUse(Problem(known, help=f"write the URL {EXAMPLES}")) from None
    except ImportError as error:
        raise CannotUse(Problem(f"there is no driver for `{url.drivername}`: {error}")) from None
    except (ArgumentError, TypeError, ValueError):
        raise CannotUse(Problem("the options in the URL of the database cannot be used")) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _hands_off)
        event.listen(engine, "begin", _begin)
    return engine


def _hands_off(connection: Any, _: object) -> None:
    """Have Python's sqlite3 begin no transactions by itself: it does so too late for one consistent state."""
    connection.isolation_level = None
    connection.text_factory = _text


def _text(raw: bytes) -> str:
    """Read a text that another program wrote in whatever encoding: one odd row is not to keep all from being read."""
    return raw.decode("utf-8", "replace")


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
