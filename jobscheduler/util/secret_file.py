"""Read a secret from a file, if no other user could read or write the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.path_walk import PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, copy_hint, quoted

MAX_SECRET_BYTES = 4096  # a larger file is not a secret


class SecretFileError(ProblemError):
    """The file does not exist, cannot be trusted, or does not hold a secret."""


def read_secret(file: Path, what: str, make: str) -> str:
    """Return the text of a file that only the service's user, root and a group may read, and no other user may write.

    `what` names the file in a problem (`token file`), `make` is the help that says how to make a good one.

    Raises:
        SecretFileError: the file does not exist, is too large, or is open to others.

    """
    return read_closed_file(file, what, make, MAX_SECRET_BYTES, help_if_large=make).decode("latin-1").strip()


def read_closed_file(file: Path, what: str, make: str, max_bytes: int, *, help_if_large: str) -> bytes:
    """Return the content of a file that is as `read_secret` wants it. What was judged is what is read.

    Raises:
        SecretFileError: the file does not exist, is too large, or is open to others.

    """
    try:
        with PathWalk(TrustJudge()) as walk:
            end = walk.walk(absolute_path(file))
            _check(file, what, end.stat, walk.problem)
            descriptor = os.open(f"/proc/self/fd/{end.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as opened:
                raw = opened.read(max_bytes + 1)
    except OSError as error:
        message = f"the {what} `{file}` cannot be read: {error.strerror}"
        raise SecretFileError(Problem(message, help=_help_of(error, make))) from None
    if len(raw) > max_bytes:
        message = f"the {what} `{file}` is larger than {max_bytes} bytes"
        raise SecretFileError(Problem(message, help=help_if_large))
    return raw


def _help_of(error: OSError, make: str) -> str | None:
    """Return the help for a file that cannot be read. To make it would empty one that exists."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return make
    if isinstance(error, PermissionError):
        return "only the user of the service has to read it: it belongs to that user, with mode 600"
    return None


def _check(file: Path, what: str, file_stat: os.stat_result, untrusted: TrustProblem | None) -> None:
    """Judge the file and the way to it. Others may still have a file open that they could write: a copy replaces it."""
    copy = f"`{copy_hint(str(file), 0o600)}`, if its content is what it should be"
    if not stat.S_ISREG(file_stat.st_mode):
        help_ = "put the secret into a file, and name that"
        raise SecretFileError(Problem(f"the {what} `{file}` is not a regular file", help=help_))
    if untrusted is not None:
        raise SecretFileError(
            Problem(f"the {what} `{file}` cannot be trusted: {untrusted.message}", help=untrusted.help)
        )
    if file_stat.st_uid not in {0, os.geteuid()}:
        owner = "root" if os.geteuid() == 0 else "root or the service's user"
        raise SecretFileError(Problem(f"the {what} `{file}` does not belong to {owner}", help=copy))
    if file_stat.st_mode & 0o022:
        raise SecretFileError(Problem(f"the {what} `{file}` is open to others, who may write it", help=copy))
    if file_stat.st_mode & 0o005:
        help_ = f"`chmod 600 {quoted(str(file))}`"
        raise SecretFileError(Problem(f"the {what} `{file}` is open to others", help=help_))
