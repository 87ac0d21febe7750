"""Connect to the database through SQLAlchemy: engines, three kinds of connection, and errors in plain words.

MySQL and MariaDB use PyMySQL, SQLite the module of Python; other databases need a driver that SQLAlchemy supports.
An error message never contains a password, a parameter or a statement.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from jobscheduler.database import mysql, postgresql
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.limits import Limits
from jobscheduler.database.setup import DatabaseConfigError
from jobscheduler.database.sqlite_file import TrustedFile, check_file, check_new_file
from jobscheduler.database.urls import EXAMPLES, read_url
from jobscheduler.model import Problem

CONNECT_TIMEOUT_S = 5  # seconds until a server must have accepted the connection

ANSWER_TIMEOUT_S = 10  # seconds for each answer afterwards, and for a lock of SQLite

_BEGIN = "jobscheduler_begin"
_PYMYSQL = "mysql+pymysql"

# What the library logs are stack traces of errors that it also raises. Without a handler they would go to stderr.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


class Database:
    """One database. Every connection is new, and belongs to the thread that asked for it."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """Parse a URL, without connecting yet. Without `limits` the usual ones of a reload hold.

        Raises:
            DatabaseConfigError: it is not a URL, or there is no driver for it.

        """
        self._url = read_url(url)
        self._limits = limits or Limits(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S)
        self.kind = self._url.get_backend_name()
        self.file = _file_of(self._url)
        self._tls: Mapping[str, str] = {}
        bare = self._url
        if self._url.drivername == _PYMYSQL:
            bare, self._tls = mysql.without_tls(self._url)
        self._engine = self._polling_engine = _engine(bare, self._tls, self._limits)
        if self.file is None:  # with the level as an option of the connection, its end would ask a dead server
            self._polling_engine = _engine(bare, self._tls, replace(self._limits, isolation="AUTOCOMMIT"))
        else:
            event.listen(self._engine, "do_connect", self._connect_to_file)

    def __str__(self) -> str:
        """Return the location without user, password and options."""
        if self.file is not None:
            return self.file
        url = self._url
        return str(URL.create(url.get_backend_name(), host=url.host, port=url.port, database=url.database))

    def exposure(self) -> Problem | None:
        """Return a problem if others could read or change the traffic to the server, as far as the URL shows."""
        host, query = self._url.host, self._url.query
        if self._url.drivername == _PYMYSQL:
            option, is_protected = "ssl_ca=FILE", mysql.is_verified(self._tls) or "unix_socket" in query
        elif self.kind == "postgresql":
            option, is_protected = "sslmode=verify-full", str(query.get("sslmode", "")).startswith("verify-")
        else:
            return None
        if is_protected or host is None or _is_loopback(host):
            return None
        message = f"the connection to the database on `{host}` is not protected by verified TLS"
        return Problem(message, help=f"add `?{option}` to the URL; docs/database.md has the details")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection that sees one state of the database, whatever other programs change meanwhile.

        Raises:
            Unavailable: the database cannot be reached, or did not answer.

        """
        with self.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Connection]:
        """Open a connection for changes that take effect together when the context ends, or not at all.

        Raises:
            Unavailable: the database cannot be reached, or did not answer.

        """
        with self.connect(create=create) as connection:
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                yield connection

    @contextmanager
    def polling(self, *, create: bool = False) -> Iterator[Connection]:
        """Open a connection for single questions: each sees the present state, and needs no transaction.

        Raises:
            Unavailable: the database cannot be reached, or did not answer.

        """
        with self._opened(self._polling_engine, create=create) as connection:
            yield connection.execution_options(**{_BEGIN: None})

    @contextmanager
    def connect(self, *, create: bool = False) -> Iterator[Connection]:
        """Open a connection on which the caller begins transactions; `create` also makes a missing SQLite file.

        Raises:
            Unavailable: the database cannot be reached, or did not answer.

        """
        with self._opened(self._engine, create=create) as connection:
            yield connection

    @contextmanager
    def _opened(self, engine: Engine, *, create: bool) -> Iterator[Connection]:
        if not create:
            self.identity()  # SQLite would create a missing file
        if create:
            self._find_place()
        with translate_errors():
            connection = self._connect(engine)
            try:
                yield connection
            except BaseException:
                connection.invalidate()  # it may be dead or amid an answer: send nothing more
                raise
            finally:
                connection.close()

    def _connect(self, engine: Engine) -> Connection:
        """Connect; report a driver's objection to the URL's options as the user's error, not ours."""
        try:
            connection = engine.connect()
        except RuntimeError as error:
            if "cryptography" not in str(error):
                raise
            why = "the server asks for a password exchange that needs the Python package `cryptography`"
            raise Unavailable(why, "`pip install 'PyMySQL[rsa]'` into the service's own environment") from None
        except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
            raise Unavailable(
                f"no connection can be made as the URL says ({type(error).__name__})", "are its options right?"
            ) from None
        if self.kind == "postgresql":
            postgresql.limit_time(connection, self._limits.answer)
        return connection

    def _find_place(self) -> None:
        """Check that the directory of an SQLite file exists."""
        if self.file is not None and not Path(self.file).absolute().parent.is_dir():
            raise Unavailable(f"there is no directory for the database file `{self.file}`", "make it first")

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode of an SQLite file, which tell it from another file of its name; else None.

        Raises:
            Unavailable: there is no such file.

        """
        if self.file is None:
            return None
        try:
            status = os.stat(self.file)  # noqa: PTH116 - as it was given
        except OSError as error:
            raise _no_file(self.file, error.strerror) from None
        return status.st_dev, status.st_ino

    def check_trust(self) -> None:
        """Check that no other user may write an SQLite file, and so have commands run.

        Raises:
            Unavailable: another user may, or the file cannot be read.

        """
        if self.file is None:
            return
        try:
            problem = check_file(self.file).problem
        except OSError as error:
            raise Unavailable(f"the database file `{self.file}` cannot be read: {error.strerror}") from None
        if problem is not None:
            raise Unavailable(problem.message, problem.help)

    def _connect_to_file(self, dialect: Dialect, _: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Open an SQLite file at its real path after checking it, and verify that the opened file is the checked one.

        No other user can replace it in between: every directory on the path is closed to other users.
        """
        trusted_file = self._trusted_place()
        arguments[0] = trusted_file.path
        connection = dialect.connect(*arguments, **options)
        status = os.stat(trusted_file.path)  # noqa: PTH116
        if trusted_file.identity not in {None, (status.st_dev, status.st_ino)}:
            connection.close()
            raise Unavailable(f"the database file `{self.file}` is being replaced", again=True)
        return connection

    def _trusted_place(self) -> TrustedFile:
        file = self.file or ""
        try:
            trusted_file = check_new_file(file)
        except OSError as error:
            raise _no_file(file, error.strerror) from None
        if trusted_file.problem is not None:
            raise Unavailable(trusted_file.problem.message, trusted_file.problem.help)
        return trusted_file


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
    except ValueError:  # a name, not an address
        return False


def _engine(url: URL, tls: Mapping[str, str], limits: Limits) -> Engine:
    # Each connection is closed after its use, so nothing is to be undone on it before: that fails on a dead one.
    options: dict[str, Any] = {"poolclass": NullPool, "pool_reset_on_return": None, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": limits.answer}
    else:
        options["isolation_level"] = limits.isolation
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = postgresql.connect_arguments(url, limits.connect, limits.answer)
    if url.drivername == _PYMYSQL:
        options["connect_args"] = {
            "connect_timeout": limits.connect,
            "read_timeout": limits.answer,
            "write_timeout": limits.answer,
            "charset": "utf8mb4",
            "init_command": "SET time_zone = '+00:00'",
        }
    try:
        engine = create_engine(url, **options)
    except NoSuchModuleError:
        message = f"SQLAlchemy knows no database `{url.drivername}`"
        raise DatabaseConfigError(Problem(message, help=f"write the URL {EXAMPLES}")) from None
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
    """Keep Python's sqlite3 from beginning transactions itself.

    It begins them too late for reads to see one consistent state.
    """
    connection.isolation_level = None
    connection.text_factory = _error_text


def _error_text(raw: bytes) -> str:
    """Decode a text that another program wrote in any encoding, so that one odd row does not block all rows."""
    return raw.decode("utf-8", "replace")


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
