"""A directory of `*.json` files: one job each, not recursive.

Everything is checked on what was opened, never on a name that may mean something else a moment later: the directory is
opened once for a pass, files are opened in it, and type and size are those of the open file.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shlex
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

from jobscheduler.model import Problem, Signature
from jobscheduler.sources import Read, SourceUnavailable, trust

MAX_BYTES = 1024 * 1024
"""Files larger than this are not read."""

FRESH = 0.1
"""A file changed less than this before it was read may change again without its times telling, in seconds."""

Identity = tuple[int, int, int]
"""Device, inode and generation (or birth): what tells a directory from another one under the same name."""

_BROKEN = (0,)
"""The signature of a name behind which there is nothing that can be looked at."""

_FS_IOC_GETVERSION = 0x80087601  # linux/fs.h, 64-bit; drawn anew each time that an inode is used again
_AT_EMPTY_PATH, _STATX_BTIME = 0x1000, 0x800  # linux/fcntl.h, linux/stat.h
_ANY = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def is_job_file(name: str) -> bool:
    """Tell whether a name in the directory is meant as a job file."""
    return name[-5:] == ".json" and name[0] != "."


class DirectorySource:
    """The jobs directory, under the path that the user gave (which may be a link, and may come to mean another)."""

    kind = "directory"
    noun = "file"
    prefix = ""
    is_exact = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listed: Identity | None = None
        self._waypoints: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Where it is."""
        return str(self.path.absolute())

    @contextmanager
    def look(self) -> Iterator[_OpenDirectory]:
        """Open the directory for one pass.

        Raises:
            SourceUnavailable: it is not there, is no directory, or may not be read.

        """
        descriptor, is_link = self._open()
        try:
            self._check(descriptor, is_link=is_link)
            yield _OpenDirectory(self, descriptor)
        finally:
            os.close(descriptor)

    def identity(self) -> Identity:
        """Return what tells the directory that the path means now from every other.

        Raises:
            SourceUnavailable: there is none, or it may not be read.

        """
        descriptor, _ = self._open()
        try:
            return identity_of(descriptor)
        finally:
            os.close(descriptor)

    def is_relevant(self, name: str) -> bool:
        """Tell whether a name in the directory matters: a job file, or something that a linked one leads through."""
        return is_job_file(name) or name in self._waypoints

    def _open(self) -> tuple[int, bool]:
        """Return a descriptor of the directory, and whether it was a link that led there."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            return os.open(self.path, flags | os.O_NOFOLLOW), False
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise _unavailable(self.path, error) from None
        try:
            return os.open(self.path, flags), True
        except OSError as error:
            raise _unavailable(self.path, error) from None

    def _check(self, descriptor: int, *, is_link: bool) -> None:
        """Judge the open directory, and the way there if a link led to it."""
        try:
            read_only = trust.is_read_only(descriptor)
            verdict = trust.distrusted(os.fstat(descriptor), str(self.path), read_only=read_only)
            if verdict is None and is_link:
                verdict = trust.of_links(os.path.realpath(self.path.parent), self.path.name)
        except OSError as error:
            raise _unavailable(self.path, error) from None
        if verdict is not None:
            raise SourceUnavailable(verdict.message, verdict.help)


class _OpenDirectory:
    """One pass over the directory (a `View`)."""

    def __init__(self, source: DirectorySource, descriptor: int) -> None:
        self._source = source
        self._descriptor = descriptor
        self._identity = identity_of(descriptor)

    def is_same(self) -> bool:
        return self._identity == self._source._listed

    def listing(self) -> dict[str, Signature]:
        """List all job files with what tells their states apart.

        Raises:
            SourceUnavailable: the directory could not be read to its end, was deleted meanwhile, or is an empty
                one that is not the one last read (an unmounted file system leaves such a directory behind).

        """
        try:
            names = os.listdir(self._descriptor)  # noqa: PTH208 - of a descriptor
            found = self._signatures(filter(is_job_file, names))
            deleted = os.fstat(self._descriptor).st_nlink == 0
        except OSError as error:
            raise _unavailable(self._source.path, error) from None
        if not found and (deleted or self._source._listed not in {None, self._identity}):
            raise SourceUnavailable(
                f"`{self._source.path}` is now another directory and empty",
                "is a file system not mounted? If it is meant to be empty, restart the service",
            )
        self._source._listed = self._identity
        return found

    def _signatures(self, names: Iterable[str]) -> dict[str, Signature]:
        """Ask for the state of each file: this is most of what an idle service does, so it is one plain loop."""
        found: dict[str, Signature] = {}
        look, descriptor = os.stat, self._descriptor
        for name in names:
            try:
                found[name] = signature_of(look(name, dir_fd=descriptor))
            except OSError:
                found[name] = _BROKEN
        return found

    def read(self, name: str) -> Read:
        """Read one file; never blocks on a FIFO and never opens a device.

        The name is looked up once, for a descriptor that can do nothing but tell what it is of; that is judged, and
        that very file is then opened, whatever the name means by now.

        Raises:
            SourceUnavailable: the directory went away, so that nothing can be said about the file.

        """
        try:
            pinned, is_link = self._pin(name)
        except OSError as error:
            return self._unreadable(name, error)
        try:
            return self._read_pinned(name, pinned, is_link=is_link)
        except OSError as error:
            return self._unreadable(name, error)
        finally:
            os.close(pinned)

    def _pin(self, name: str) -> tuple[int, bool]:
        """Return a descriptor of what a name means, and whether it is a link that led there."""
        pinned = os.open(name, _ANY | os.O_NOFOLLOW, dir_fd=self._descriptor)
        if not stat.S_ISLNK(os.fstat(pinned).st_mode):
            return pinned, False
        os.close(pinned)
        return os.open(name, _ANY, dir_fd=self._descriptor), True

    def _read_pinned(self, name: str, pinned: int, *, is_link: bool) -> Read:
        found = os.fstat(pinned)
        if not stat.S_ISREG(found.st_mode):
            return _refused(name, f"{_kind(found.st_mode)}, not a regular file", found)
        distrust = self._distrust(name, pinned, found, is_link=is_link)
        if distrust is not None:
            return _refused(name, distrust.message, found, distrust.help, host=True)
        if found.st_size > MAX_BYTES:
            help_ = "a job file holds one definition; put data elsewhere"
            return _refused(name, "the file is larger than 1 MiB", found, help_)
        again = time.time() - found.st_ctime < FRESH
        written = max(found.st_ctime, self._linked(name)) if is_link else found.st_ctime
        return Read(name, signature_of(found), _content(pinned), written=written, again=again)

    def _linked(self, name: str) -> float:
        """Tell when the newest link on the way from a name to its file was made: since then it means that file."""
        here = os.path.realpath(f"/proc/self/fd/{self._descriptor}")
        waypoints = [os.path.join(holder, entry) for holder, entry in trust.passed(here, name)]  # noqa: PTH118
        return max(os.lstat(waypoint).st_ctime for waypoint in waypoints)

    def _distrust(self, name: str, pinned: int, found: os.stat_result, *, is_link: bool) -> trust.Distrust | None:
        """Judge the file, and the way there if a link led to it."""
        path = str(self._source.path / name)
        verdict = trust.distrusted(found, path, read_only=trust.is_read_only(pinned))
        if verdict is not None or not is_link:
            return verdict
        here = os.path.realpath(f"/proc/self/fd/{self._descriptor}")
        for holder, waypoint in trust.passed(here, name):
            if holder == here:
                self._source._waypoints |= {waypoint}
        return trust.of_links(here, name)

    def _unreadable(self, name: str, error: OSError) -> Read:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return self._gone(name)
        found = self._stat(name)
        if error.errno in {errno.EACCES, errno.EPERM}:
            verdict = self._barred(name)
            return _refused(name, verdict.message, found, verdict.help, host=True)
        if error.errno == errno.ELOOP:
            return self._broken(name, "the symbolic link leads in a circle")
        reason = os.strerror(error.errno or 0).lower()
        return _refused(name, f"the file cannot be read: {reason}", found, host=True)

    def _barred(self, name: str) -> trust.Distrust:
        path = str(self._source.path / name)
        if os.path.islink(path):  # noqa: PTH114 - raises nothing
            return trust.barred(path, "a+r")
        return trust.Distrust("the service may not read the file", f"`chmod a+r {shlex.quote(path)}`")

    def _gone(self, name: str) -> Read:
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            if os.fstat(self._descriptor).st_nlink == 0:
                raise SourceUnavailable(f"`{self._source.path}` has been deleted") from None
            return Read(name)
        return self._broken(name, "the symbolic link points to nothing")

    def _broken(self, name: str, message: str) -> Read:
        """Return what is known of a link that leads nowhere; it is as old as the link itself."""
        problem = Problem(message, file=name, host=True)
        try:
            written = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_ctime
        except OSError:
            written = time.time()
        return Read(name, _BROKEN, problem=problem, written=written)

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor)
        except OSError:
            return None


def _content(pinned: int) -> bytes:
    """Return the beginning of a file, as much as can be a job; one byte more tells that it is too large."""
    descriptor = os.open(f"/proc/self/fd/{pinned}", _READ)
    try:
        raw = bytearray()
        while len(raw) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES + 1 - len(raw))):
            raw += part
        return bytes(raw)
    finally:
        os.close(descriptor)


def _refused(
    name: str,
    message: str,
    found: os.stat_result | None,
    help: str | None = None,  # noqa: A002 - the word under which it is shown
    *,
    host: bool = False,
) -> Read:
    """Return what is known of a file that is not to be read; what could not even be looked at may be quite new."""
    problem = Problem(message, file=name, help=help, host=host)
    if found is None:
        return Read(name, _BROKEN, problem=problem, written=time.time())
    return Read(name, signature_of(found), problem=problem, written=found.st_ctime)


signature_of: Callable[[os.stat_result], Signature] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid"
)
"""Reduces a stat result to what changes whenever content, owner or mode change."""


def identity_of(descriptor: int) -> Identity:
    """Return the identity of an open directory."""
    found = os.fstat(descriptor)
    try:
        (generation,) = struct.unpack("=q", fcntl.ioctl(descriptor, _FS_IOC_GETVERSION, bytes(8)))
    except OSError:
        generation = _birth(descriptor)
    return found.st_dev, found.st_ino, generation


def _birth(descriptor: int) -> int:
    """Return when an inode was made, in nanoseconds, for file systems without generations; 0 where it is not known."""
    found = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, found)
    except AttributeError:  # a C library from before 2018
        return 0
    known, seconds, nanoseconds = struct.unpack_from("=I76xqI", found)
    return 0 if failed or not known & _STATX_BTIME else seconds * 1_000_000_000 + nanoseconds


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return name
    return "something else"


def _unavailable(path: Path, error: OSError) -> SourceUnavailable:
    user = f"uid {os.geteuid()}"
    match error.errno:
        case errno.ENOENT:
            return SourceUnavailable(
                f"the jobs directory `{path}` does not exist", f"make it: `mkdir -p {shlex.quote(str(path))}`"
            )
        case errno.ENOTDIR:
            return SourceUnavailable(f"`{path}` is not a directory", "name the directory that holds the job files")
        case errno.EACCES | errno.EPERM:
            help_ = trust.barred(str(path), "a+rx").help
            return SourceUnavailable(f"the jobs directory `{path}` may not be read by {user}", help_)
        case _:
            reason = os.strerror(error.errno or 0).lower()
            return SourceUnavailable(f"the jobs directory `{path}` cannot be read: {reason}")
