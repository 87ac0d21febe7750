"""The output directory, by descriptor: only the service may write in it, and no link below it is followed."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.output.names import TEMPORARY, parse_day
from jobscheduler.util.path_walk import PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge, TrustProblem, quoted, user_name

FOLDER_MODE = 0o750
FILE_MODE = 0o640
_OTHER_HELP = "name another with `--output-dir DIR`"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class FolderRefused(ProblemError):
    """The output directory cannot be used; the problem says why, and what helps."""


class FolderReader:
    """The output directory, open for reading. Any call may raise `OSError`, and may hang.

    Thread: one at a time.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._day: tuple[str, int] | None = None

    def close(self) -> None:
        """Close it. Another service may use it then."""
        self._close_day()
        os.close(self._descriptor)

    def days(self) -> list[str]:
        """Return the days that have a folder, oldest first."""
        names = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor
        return sorted(name for name in names if parse_day(name) is not None)

    def names(self, day: str) -> list[str]:
        """Return the names of all files of a day."""
        return os.listdir(self._day_descriptor(day))  # noqa: PTH208 - a descriptor

    def status(self, day: str, name: str) -> os.stat_result | None:
        """Return the status of a file, None if there is none."""
        try:
            return os.stat(name, dir_fd=self._day_descriptor(day), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def read(self, day: str, name: str, max_bytes: int) -> bytes:
        """Return the content of a regular file, at most `max_bytes` of it."""
        with self._opened(day, name, os.O_RDONLY) as (descriptor, _):
            return _read(descriptor, max_bytes)

    @contextmanager
    def _opened(self, day: str, name: str, flags: int) -> Iterator[tuple[int, int]]:
        """Open a regular file; yield its descriptor and its size."""
        descriptor = os.open(name, flags | _FILE, FILE_MODE, dir_fd=self._day_descriptor(day))
        try:
            yield descriptor, _size_of(descriptor, name)
        finally:
            os.close(descriptor)

    def _day_descriptor(self, day: str) -> int:
        """Return the descriptor of the folder of a day."""
        if self._day is not None and self._day[0] == day:
            return self._day[1]
        self._close_day()
        self._day = day, self._open_day(day)
        return self._day[1]

    def _open_day(self, day: str) -> int:
        return os.open(day, _DIRECTORY, dir_fd=self._descriptor)

    def _close_day(self) -> None:
        day, self._day = self._day, None
        if day is not None:
            os.close(day[1])


class OutputFolder(FolderReader):
    """The output directory, open for writing. `path` is where it is."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(descriptor)
        self._path = path

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this directory."""
        try:
            named, opened = self._path.stat(), os.fstat(self._descriptor)
            if self._day is not None and not os.fstat(self._day[1]).st_nlink:
                self._close_day()
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def append(self, day: str, name: str, data: bytes, *, max_bytes: int) -> int | None:
        """Append to a file, and make it if it is not there. Return its size before, None if it has `max_bytes`.

        If not all of it can be written, the file gets its former size.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FILE
        try:
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._day_descriptor(day))
        except FileNotFoundError:  # the folder of the day was removed
            self._close_day()
            descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._day_descriptor(day))
        try:
            before = _size_of(descriptor, name)
            if before < max_bytes:
                _write_all(descriptor, data, before)
                return before
            return None
        finally:
            os.close(descriptor)

    def cut(self, day: str, name: str, size: int) -> None:
        """Cut a file down to a size."""
        with self._opened(day, name, os.O_WRONLY) as (descriptor, _):
            os.ftruncate(descriptor, size)

    def replace(self, day: str, name: str, data: bytes) -> None:
        """Make a file, or replace it as a whole."""
        new = name.removesuffix(".txt") + TEMPORARY
        try:
            with self._opened(day, new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as (descriptor, _):
                _write_all(descriptor, data, 0)
            here = self._day_descriptor(day)
            os.rename(new, name, src_dir_fd=here, dst_dir_fd=here)
        except OSError:
            with suppress(OSError):
                self.remove(day, new)
            raise

    def remove(self, day: str, name: str) -> None:
        """Remove a file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._day_descriptor(day))

    def remove_day(self, day: str) -> None:
        """Remove the folder of a day, if it is empty."""
        self._close_day()
        with suppress(OSError):
            os.rmdir(day, dir_fd=self._descriptor)

    def probe(self) -> None:
        """Write a block and remove it, to see whether that is possible. Raises: `OSError`."""
        name = f".probe{TEMPORARY}"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE, FILE_MODE, dir_fd=self._descriptor)
        try:
            _write_all(descriptor, bytes(4096), 0)
        finally:
            os.close(descriptor)
            os.unlink(name, dir_fd=self._descriptor)

    def free_bytes(self) -> tuple[int, int]:
        """Return the bytes that are free for this user on its file system, and those that there are in all."""
        status = os.fstatvfs(self._descriptor)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize

    def _open_day(self, day: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(day, FOLDER_MODE, dir_fd=self._descriptor)
        return super()._open_day(day)


def open_folder(path: Path) -> OutputFolder:
    """Open the output directory for writing; make it if its parent is there. No other service can then open it.

    Raises:
        FolderRefused: it cannot be made, others could write in it, or another service uses it.
        OSError: it cannot be opened.

    """
    descriptor = _trusted(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderRefused(Problem(f"`{path}` is in use by another service", help=_OTHER_HELP)) from None
    except OSError:  # the file system has no locks
        pass
    return OutputFolder(path, descriptor)


def _trusted(path: Path) -> int:
    """Return the descriptor of the directory, after judging it and the way to it."""
    judge = TrustJudge()
    with PathWalk(judge, may_group=True) as walk:
        try:
            above = walk.walk(os.path.dirname(absolute_path(path)), is_directory=True)  # noqa: PTH120 - links count
        except FileNotFoundError:
            help_ = f"make it with `mkdir -p {quoted(str(path.absolute().parent))}`, or {_OTHER_HELP}"
            raise FolderRefused(Problem(f"the directory above `{path}` does not exist", help=help_)) from None
        walk.keep_open(above)
        with suppress(FileExistsError):
            os.mkdir(path.name, FOLDER_MODE, dir_fd=above.descriptor)
        end = walk.walk(path.name, is_directory=True)
        if not stat.S_ISDIR(end.stat.st_mode):
            raise FolderRefused(Problem(f"`{path}` is not a directory", help=_OTHER_HELP))
        _refuse(walk.problem or judge.check(end.descriptor, end.stat, end.path, is_strict=True))
        _refuse(_others_problem(end.stat, end.path))
        return os.open(f"/proc/self/fd/{end.descriptor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _others_problem(status: os.stat_result, path: str) -> TrustProblem | None:
    """Return why the directory is not the service's alone: its owner is another user, or its group may write."""
    if status.st_uid != os.geteuid():
        own = user_name(os.geteuid())
        message = f"`{path}` belongs to `{user_name(status.st_uid)}`, not to `{own}`"
        return TrustProblem(message, f"`chown {own}: {quoted(path)}`")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"`{path}` may be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
        return TrustProblem(message, f"`chmod go-w {quoted(path)}`")
    return None


def _refuse(verdict: TrustProblem | None) -> None:
    if verdict is not None:
        raise FolderRefused(Problem(verdict.message, help=f"{verdict.help}, or {_OTHER_HELP}"))


@contextmanager
def read_folder(path: Path) -> Iterator[FolderReader]:
    """Open the output directory for reading alone: of any owner, since nothing in it is believed but shown.

    Raises:
        OSError: it cannot be opened.

    """
    folder = FolderReader(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        yield folder
    finally:
        folder.close()


def _size_of(descriptor: int, name: str) -> int:
    """Return the size of an open file. Raises: `OSError` if it is not a regular one."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", name)
    return status.st_size


def _read(descriptor: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    while max_bytes > 0 and (part := os.read(descriptor, min(max_bytes, 1 << 20))):
        parts.append(part)
        max_bytes -= len(part)
    return b"".join(parts)


def _write_all(descriptor: int, data: bytes, before: int) -> None:
    """Write all of it, or raise `OSError` and leave the file with the size that it had `before`."""
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, before)
        raise
