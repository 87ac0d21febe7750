"""Check whether a database can be used: the extra is installed, and its URL can be read without exposing it."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.secret_file import SecretFileError, read_secret

INSTALL = (  # how to install the libraries of the extra
    "`make install EXTRAS=database`, or `pip install 'SQLAlchemy>=2,<3' 'PyMySQL>=1.2,<2'` "
    "into the service's own environment"
)

_LIBRARIES = ("sqlalchemy", "pymysql")


class DatabaseConfigError(ProblemError):
    """The database cannot be used as configured; the problem says why and what to do."""


def is_installed() -> bool:
    """Return whether all libraries of the extra are installed."""
    return all(find_spec(library) is not None for library in _LIBRARIES)


def load_url(
    url: str | None, url_file: Path | None, option: str = "--database-url", extra: str = "database"
) -> str | None:
    """Return the URL of the database, None if none is configured; the file takes precedence.

    `option` and `extra` are what messages name.

    Raises:
        DatabaseConfigError: the extra is missing, or the file holds no URL or is not secret.

    """
    if url is None and url_file is None:
        return None
    if not is_installed():
        given = option if url_file is None else f"{option}-file"
        help_ = INSTALL.replace("EXTRAS=database", f"EXTRAS={extra}")
        raise DatabaseConfigError(Problem(f"`{given}` needs the extra `{extra}`", help=help_))
    return url if url_file is None else _url_in(url_file)


def _url_in(file: Path) -> str:
    help_ = f"make one with `(umask 077; cat > {shlex.quote(str(file))})`: one line, the URL"
    try:
        url = read_secret(file, "file with the URL of the database", help_)
    except SecretFileError as error:
        raise DatabaseConfigError(error.problem) from None
    if not url or not url.isprintable():
        raise DatabaseConfigError(
            Problem(f"the file `{file}` does not hold the URL of a database on one line", help=help_)
        )
    return url
