"""Check whether the pages may be served: the extra is installed, the address is safe, the token is a secret."""

from __future__ import annotations

import ipaddress
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.secret_file import SecretFileError, read_secret

INSTALL = (  # how to install the libraries of the extra
    "`make install EXTRAS=web`, or `pip install 'waitress>=3.0.1,<4' 'Jinja2>=3.1.6,<4' 'prometheus-client>=0.21,<1'` "
    "into the service's own environment"
)

MIN_TOKEN_CHARS = 16  # the shortest token

_LIBRARIES = ("waitress", "jinja2", "prometheus_client")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class WebConfigError(ProblemError):
    """The pages cannot be served as configured; the problem says why and what to do."""


def load_token(address: tuple[str, int], token_file: Path | None) -> str | None:
    """Return the token that readers must send, None if they need none.

    Raises:
        WebConfigError: the extra is missing, other hosts would need no token, or the file holds no valid token.

    """
    if not is_installed():
        raise WebConfigError(Problem("`--http` needs the extra `web`", help=INSTALL))
    if token_file is None and not ipaddress.ip_address(address[0]).is_loopback:
        raise WebConfigError(_unguarded(address))
    return None if token_file is None else _token_in(token_file)


def is_installed() -> bool:
    """Return whether all libraries of the extra are installed."""
    return all(find_spec(library) is not None for library in _LIBRARIES)


def _unguarded(address: tuple[str, int]) -> Problem:
    host, port = address
    return Problem(
        f"`--http` on `{host}` would show jobs and their output to every host that reaches it",
        notes=("without a token the page is served to this host only",),
        help=f"name a file with a token with `--http-token-file FILE`, or use `--http 127.0.0.1:{port}`",
    )


def _token_in(file: Path) -> str:
    """Read the token: the file's only line.

    Raises:
        WebConfigError: the file is missing, other users may read it, or it holds no valid token.

    """
    help_ = f"make one with `(umask 077; openssl rand -hex 32 > {shlex.quote(str(file))})`"
    try:
        token = read_secret(file, "token file", help_)
    except SecretFileError as error:
        raise WebConfigError(error.problem) from None
    if not _TOKEN.fullmatch(token):
        raise WebConfigError(Problem(f"the token file `{file}` does not hold one line of printable ASCII", help=help_))
    if len(token) < MIN_TOKEN_CHARS:
        raise WebConfigError(Problem(f"the token in `{file}` has fewer than {MIN_TOKEN_CHARS} characters", help=help_))
    return token
