"""Opening the log file: only where no other user could have written what is read back, or chooses what is written to.

The rules are those for job files, with one difference: a directory above the log's own may be written by its group, as
Ubuntu's /var/log is. What is opened is what was judged, component by component.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from jobscheduler.util.path_walk import PathStep, PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, quoted

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640
_OTHER_LOG_HELP = "name another with `--log-file FILE`"

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class LogRefused(OSError):
    """The log is not opened where it stands, for the reason in `strerror`; `help` is the way out."""

    def __init__(self, message: str, help: str) -> None:  # noqa: A002 - the word under which it is shown
        super().__init__(errno.EACCES, message)
        self.help = help


def open_log(path: Path) -> int:
    """Open the log file for reading and appending, or make it; a link is followed where it is trusted.

    Raises:
        LogRefused: it is not a regular file, or other users could write it or put another in its place.
        OSError: it cannot be opened or made.

    """
    judge = TrustJudge()
    with PathWalk(judge, may_group=True) as way:
        folder = _folder(way, judge, path)
        found = _file(way, judge, path)
        if found is not None:
            return os.open(f"/proc/self/fd/{found.descriptor}", _FLAGS)
        flags = _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(path.name, flags, _MODE, dir_fd=folder.descriptor)


def check_log(path: Path, backups: int) -> None:
    """Judge the log file and its rotated copies, which are read as the account of the time before.

    Raises:
        LogRefused: one of them is not a regular file, or other users could write it.
        OSError: one cannot be looked at.

    """
    if path.is_dir():
        raise _not_regular(path, stat.S_IFDIR)
    for file in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, backups + 1))):
        judge = TrustJudge()
        with PathWalk(judge, may_group=True) as way:
            _folder(way, judge, file)
            _file(way, judge, file)


def _folder(way: PathWalk, judge: TrustJudge, path: Path) -> PathStep:
    """Walk to the log's directory, which its group may not write either."""
    folder = way.walk(os.path.dirname(absolute_path(path)), is_directory=True)  # noqa: PTH120 - not to be normalised
    _raise_untrusted(way.problem or judge.check_step(folder.descriptor, folder.stat, folder.path))
    return folder


def _file(way: PathWalk, judge: TrustJudge, path: Path) -> PathStep | None:
    """Walk on to the file and judge it; None if nothing has its name."""
    folder = way.steps[-1]
    try:
        os.stat(path.name, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    found = os.stat(path)  # noqa: PTH116 - what the kernel makes of it, which may be a pipe
    if not stat.S_ISREG(found.st_mode):
        raise _not_regular(path, found.st_mode)
    end = way.walk(path.name)
    if any(link.path.startswith("/proc/") for link in way.links):
        raise LogRefused(f"the log file `{path}` is a name for what this process was started with", _OTHER_LOG_HELP)
    if not stat.S_ISREG(end.stat.st_mode):
        raise _not_regular(path, end.stat.st_mode)
    _raise_untrusted(way.problem)
    verdict = judge.check(end.descriptor, end.stat, end.path)
    if verdict is not None:
        aside = f"`mv {quoted(end.path)} {quoted(f'{end.path}.untrusted')}` and let the service make a new one"
        _raise_untrusted(TrustProblem(verdict.message, f"{aside}: what it says would be believed"))
    return end


def _not_regular(path: Path, mode: int) -> LogRefused:
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    return LogRefused(f"the log file `{path}` is {kind}, not a regular file", _OTHER_LOG_HELP)


def _raise_untrusted(verdict: TrustProblem | None) -> None:
    if verdict is not None:
        raise LogRefused(f"the log cannot be trusted: {verdict.message}", f"{verdict.help}, or {_OTHER_LOG_HELP}")
