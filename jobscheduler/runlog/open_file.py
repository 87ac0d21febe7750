"""Open the log file only if no other user could have written what is read back, or could choose what is written to.

The rules are those for job files, with one difference: the group may write a directory above the log's own, as with
Ubuntu's /var/log. The opened file is the checked one, component by component.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from jobscheduler.runlog.file_names import is_dangling, log_files, real_file, rotated_file
from jobscheduler.util.path_walk import PathStep, PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, quoted

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640
_OTHER_LOG_HELP = "name another with `--log-file FILE`"
_STREAM_HELP = f"{_OTHER_LOG_HELP}, or write to standard output alone with `--log-file -`"

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class LogRefused(OSError):
    """The log file is not trusted, for the reason in `strerror`; `help` says what to do."""

    def __init__(self, message: str, help: str) -> None:  # noqa: A002 - the name under which it is shown
        super().__init__(errno.EACCES, message)
        self.help = help


def open_log(path: Path, *, may_create_target: bool = False) -> int:
    """Open the log file for reading and appending, or create it; follow a link where it is trusted.

    A link without a target is refused, as it may be mistyped or its disk may not be mounted. The target is created if
    it was there before: with `may_create_target`, or if a rotated file stands beside it.

    Raises:
        LogRefused: it is not a regular file, or other users could write or replace it.
        OSError: it cannot be opened or created.

    """
    if (may_create_target and is_dangling(path)) or _lost_its_target(path):
        os.close(_open(real_file(path)))
    return _open(path)


def _open(path: Path) -> int:
    judge = TrustJudge()
    with PathWalk(judge, may_group=True) as walk:
        folder = _folder(walk, judge, path)
        step = _file(walk, judge, path)
        if step is not None:
            return os.open(f"/proc/self/fd/{step.descriptor}", _FLAGS)
        flags = _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.open(path.name, flags, _MODE, dir_fd=folder.descriptor)


def _lost_its_target(path: Path) -> bool:
    """Return whether the log is a link that had a target, as after a crash between two files."""
    return is_dangling(path) and rotated_file(path, 1).exists()


def check_log(path: Path, backups: int) -> None:
    """Check the log file and its rotated copies, which a start reads as the history.

    Raises:
        LogRefused: one of them is not a regular file, or other users could write it.
        OSError: one cannot be inspected.

    """
    if path.is_dir():
        raise _not_regular(path, stat.S_IFDIR)
    for file in log_files(path, backups)[_lost_its_target(path) :]:
        judge = TrustJudge()
        with PathWalk(judge, may_group=True) as walk:
            _folder(walk, judge, file)
            _file(walk, judge, file)


def _folder(walk: PathWalk, judge: TrustJudge, path: Path) -> PathStep:
    """Walk to the log's directory, which its group may not write either."""
    folder = walk.walk(os.path.dirname(absolute_path(path)), is_directory=True)  # noqa: PTH120 - not to be normalised
    _raise_untrusted(walk.problem or judge.check_step(folder.descriptor, folder.stat, folder.path))
    return folder


def _file(walk: PathWalk, judge: TrustJudge, path: Path) -> PathStep | None:
    """Walk on to the file and check it; None if there is no such file."""
    folder = walk.steps[-1]
    try:
        os.stat(path.name, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    status = os.stat(path)  # noqa: PTH116 - what the kernel makes of it, which may be a pipe
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(path, status.st_mode)
    end = walk.walk(path.name)
    if any(link.path.startswith("/proc/") for link in walk.links):
        raise LogRefused(f"the log file `{path}` is a name for what this process was started with", _STREAM_HELP)
    if not stat.S_ISREG(end.stat.st_mode):
        raise _not_regular(path, end.stat.st_mode)
    _raise_untrusted(walk.problem)
    verdict = judge.check(end.descriptor, end.stat, end.path)
    if verdict is not None:
        aside = f"`mv {quoted(end.path)} {quoted(f'{end.path}.untrusted')}` and let the service make a new one"
        _raise_untrusted(TrustProblem(verdict.message, f"{aside}: what it says would be believed"))
    return end


def _not_regular(path: Path, mode: int) -> LogRefused:
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    return LogRefused(f"the log file `{path}` is {kind}, not a regular file", _STREAM_HELP)


def _raise_untrusted(verdict: TrustProblem | None) -> None:
    if verdict is not None:
        raise LogRefused(f"the log cannot be trusted: {verdict.message}", f"{verdict.help}, or {_OTHER_LOG_HELP}")
