"""A file with a secret in it: read only if nobody but those who may know it could read it, or write it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.util.path_walk import PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, copy_hint, quoted

MAX_BYTES = 4096
"""A file with more bytes than this holds no secret of ours."""


SETTINGS = Path("/etc/default/jobscheduler")
"""What systemd reads before it starts the service; installed readable for all."""

_VARIABLE = re.compile(r"^\s*JOBSCHEDULER_DATABASE_URL=.*://[^\s/@:]*:[^\s/]+@", re.M)


class SecretFileError(Exception):
    """The file is not there, is not trusted, or does not hold a secret; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_secret(file: Path, what: str, make: str) -> str:
    """Return the text of a file that only the service's user, root and a group may read, and nobody else write.

    `what` is what the file is called in a problem (`token file`), `make` how to make a good one.

    Raises:
        NotSecret: the file is not there, is too large, or is open to others.

    """
    try:
        with PathWalk(TrustJudge()) as way:
            end = way.walk(absolute_path(file))
            _check(file, what, end.stat, way.problem)
            descriptor = os.open(f"/proc/self/fd/{end.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise SecretFileError(Problem(f"the {what} `{file}` cannot be read: {error.strerror}", help=make)) from None
    if len(raw) > MAX_BYTES:
        raise SecretFileError(Problem(f"the {what} `{file}` is larger than {MAX_BYTES} bytes", help=make))
    return raw.decode("latin-1").strip()


def exposed_url_warning(settings: Path = SETTINGS) -> Problem | None:
    """Say that the URL of a database, with its password, stands in the settings that all users may read; else None."""
    try:
        with settings.open(encoding="utf-8", errors="replace") as opened:
            found, text = os.fstat(opened.fileno()), opened.read(1024 * 1024)
    except OSError:
        return None
    if not found.st_mode & stat.S_IROTH or not _VARIABLE.search(text):
        return None
    message = "the password of the database stands in a file that all users of this host may read"
    help_ = (
        "put the URL into a file of mode 600, name it with `JOBSCHEDULER_DATABASE_URL_FILE`, and change the password"
    )
    return Problem(message, file=str(settings), help=help_)


def _check(file: Path, what: str, found: os.stat_result, way: TrustProblem | None) -> None:
    """Judge the file and the way there; what others could write, they may still have open, so a copy replaces it."""
    copy = f"`{copy_hint(str(file), 0o600)}`, if its content is what it should be"
    if not stat.S_ISREG(found.st_mode):
        raise SecretFileError(Problem(f"the {what} `{file}` is not a regular file"))
    if way is not None:
        raise SecretFileError(Problem(f"the {what} `{file}` cannot be trusted: {way.message}", help=way.help))
    if found.st_uid not in {0, os.geteuid()}:
        who = "root" if os.geteuid() == 0 else "root or the service's user"
        raise SecretFileError(Problem(f"the {what} `{file}` does not belong to {who}", help=copy))
    if found.st_mode & 0o022:
        raise SecretFileError(Problem(f"the {what} `{file}` is open to others, who may write it", help=copy))
    if found.st_mode & 0o005:
        help_ = f"`chmod 600 {quoted(str(file))}`"
        raise SecretFileError(Problem(f"the {what} `{file}` is open to others", help=help_))
