"""The door to SQLAlchemy's engines: one database, its three kinds of connection, and its faults in words.

MySQL and MariaDB through PyMySQL, SQLite with what Python brings; any other that SQLAlchemy has a driver for. What a
fault says never has a password, a parameter or a statement in it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from jobscheduler.database import mysql
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.setup import DatabaseConfigError
from jobscheduler.database.sqlite_file import TrustedFile, check_file, check_new_file
from jobscheduler.database.urls import EXAMPLES, read_url
from jobscheduler.model import Problem
from jobscheduler.util import trust

CONNECT_TIMEOUT_S = 5
"""How long a server may take to answer at first, in seconds."""

ANSWER_TIMEOUT_S = 10
"""How long an answer may take afterwards, or a lock, in seconds."""

_BEGIN = "jobscheduler_begin"
_PYMYSQL = "mysql+pymysql"


class Database:
    """One database. Every connection is made anew, and belongs to the thread that asked for it."""

    def __init__(self, url: str) -> None:
        """Take a URL, and connect to nothing yet.

        Raises:
            CannotUse: it is none, or there is no driver for it.

        """
        self._url = read_url(url)
        self.kind = self._url.get_backend_name()
        self.file = _file_of(self._url)
        self._tls: Mapping[str, str] = {}
        bare = self._url
        if self._url.drivername == _PYMYSQL:
            bare, self._tls = mysql.without_tls(self._url)
        self._engine = _engine(bare, self._tls)
        if self.file is not None:
            event.listen(self._engine, "do_connect", self._connect_to_file)

    def __str__(self) -> str:
        """Where it is, without user, password and options."""
        if self.file is not None:
            return self.file
        url = self._url
        return str(URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database))

    def exposure(self) -> Problem | None:
        """Say that what goes to the server can be read and changed on its way, as far as the URL tells; else None."""
        host, query = self._url.host, self._url.query
        if self._url.drivername == _PYMYSQL:
            option, is_safe = "ssl_ca=FILE", mysql.is_verified(self._tls) or "unix_socket" in query
        elif self.kind == "postgresql":
            option, is_safe = "sslmode=verify-full", str(query.get("sslmode", "")).startswith("verify-")
        else:
            return None
        if is_safe or host is None or _is_loopback(host):
            return None
        message = f"the connection to the database on `{host}` is not protected by verified TLS"
        return Problem(message, help=f"add `?{option}` to the URL; docs/database.md has the details")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, whatever others do meanwhile.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for changes that all take effect together when it is left, or none of them.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connect(create=create) as connection:
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    @contextmanager
    def polling(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for single questions: each sees the present, and costs nothing but itself.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        with self.connect(create=create) as connection:
            options: dict[str, Any] = {_BEGIN: None}
            if self.file is None:
                options["isolation_level"] = "AUTOCOMMIT"
            yield connection.execution_options(**options)

    @contextmanager
    def connect(self, *, create: bool = False) -> Iterator[Connection]:
        """Give a connection for whatever transactions are begun on it; with `create` an SQLite file is made.

        Raises:
            Unavailable: it cannot be reached, or did not answer.

        """
        if not create:
            self.identity()  # SQLite would make the file
        if create:
            self._find_place()
        with translate_errors():
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

    def trust_problem(self) -> trust.TrustProblem | None:
        """Say who else may write an SQLite file, and so have commands run; of other databases nothing can be told."""
        if self.file is None:
            return None
        try:
            return check_file(self.file).problem
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

    def _trusted_place(self) -> TrustedFile:
        file = self.file or ""
        try:
            place = check_new_file(file)
        except OSError as error:
            raise _no_file(file, error.strerror) from None
        if place.problem is not None:
            raise Unavailable(place.problem.message, place.problem.help)
        return place


def _no_file(file: str, reason: str | None) -> Unavailable:
    return Unavailable(
        f"the database file `{file}` cannot be used: {str(reason).lower()}", "`jobscheduler db init` makes it"
    )


def _file_of(url: URL) -> str | None:
    return url.database if url.get_backend_name() == "sqlite" else None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _engine(url: URL, tls: Mapping[str, str]) -> Engine:
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": ANSWER_TIMEOUT_S}
    else:
        options["isolation_level"] = "REPEATABLE READ"
    if url.drivername == _PYMYSQL:
        options["connect_args"] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            "charset": "utf8mb4",
            "init_command": "SET time_zone = '+00:00'",
        }
    try:
        engine = create_engine(url, **options)
    except NoSuchModuleError:
        known = f"SQLAlchemy knows no database `{url.drivername}`"
        raise DatabaseConfigError(Problem(known, help=f"write the URL {EXAMPLES}")) from None
    except ImportError as error:
        raise DatabaseConfigError(Problem(f"there is no driver for `{url.drivername}`: {error}")) from None
    except (ArgumentError, TypeError, ValueError):
        raise DatabaseConfigError(Problem("the options in the URL of the database cannot be used")) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _disable_autobegin)
        event.listen(engine, "begin", _begin)
    if url.drivername == _PYMYSQL:
        event.listen(engine, "do_connect", lambda _, __, args, arguments: mysql.connect(tls, arguments))
    return engine


def _disable_autobegin(connection: Any, _: object) -> None:
    """Have Python's sqlite3 begin no transactions by itself: it does so too late for one consistent state."""
    connection.isolation_level = None
    connection.text_factory = _error_text


def _error_text(raw: bytes) -> str:
    """Read a text that another program wrote in whatever encoding: one odd row is not to keep all from being read."""
    return raw.decode("utf-8", "replace")


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
