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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Fingerprint, Problem
from jobscheduler.util import trust
from jobscheduler.util.path_walk import PathStep, PathWalk, absolute_path

MAX_BYTES = 1024 * 1024
"""Files larger than this are not read."""

MTIME_GRANULARITY_S = 0.1
"""A file changed less than this before it was read may change again without its times telling, in seconds."""

Identity = tuple[int, int, int]
"""Device, inode and generation (or birth): what tells a directory from another one under the same name."""

_UNREADABLE = (0,)
"""The signature of a name behind which there is nothing that can be looked at."""

HUNG_HELP: Fingerprint = (-1,)
"""The signature of a file that does not answer."""

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
    is_atomic = False

    def __init__(self, path: Path, rules: trust.TrustRules | None = None, *, is_lenient: bool = False) -> None:
        """`rules` say for whom is judged; a lenient source reads what is not trusted, too, and says so (`distrust`)."""
        self.path = path
        self.rules = rules or trust.TrustRules()
        self.is_lenient = is_lenient
        self._listed: Identity | None = None
        self._link_names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Where it is."""
        return str(self.path.absolute())

    @contextmanager
    def open(self) -> Iterator[_OpenDirectory]:
        """Open the directory for one pass.

        Raises:
            SourceUnavailable: it is not there, is no directory, may not be read, or others may write on the way to it.

        """
        judge = trust.TrustJudge(self.rules)
        with PathWalk(judge) as way:
            descriptor = self._open(way, judge)
            try:
                yield _OpenDirectory(self, descriptor, way, judge)
            finally:
                os.close(descriptor)

    def identity(self) -> Identity:
        """Return what tells the directory that the path means now from every other.

        Raises:
            SourceUnavailable: there is none, or it may not be read.

        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable(self.path, error, self.rules.uid) from None
        try:
            return directory_identity(descriptor)
        finally:
            os.close(descriptor)

    def is_relevant(self, name: str) -> bool:
        """Tell whether a name in the directory matters: a job file, or something that a linked one leads through."""
        return is_job_file(name) or name in self._link_names

    def _open(self, way: PathWalk, judge: trust.TrustJudge) -> int:
        """Walk to the directory, judge it and all that leads there, and return a descriptor to list it with."""
        try:
            end = way.walk(absolute_path(self.path), is_directory=True)
            name = end.path if way.links else str(self.path)
            way.problem = way.problem or judge.check(end.descriptor, end.stat, name)
            if way.problem is None or self.is_lenient:
                return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=end.descriptor)
        except OSError as error:
            raise _unavailable(self.path, error, self.rules.uid) from None
        raise SourceUnavailable(way.problem.message, way.problem.help)


class _OpenDirectory:
    """One pass over the directory (a `View`).

    `at` is the file whose state is being asked for by `listing`, empty before and after. Another thread may set
    `is_left`: the listing then ends at the next file.
    """

    def __init__(self, source: DirectorySource, descriptor: int, way: PathWalk, judge: trust.TrustJudge) -> None:
        self._source = source
        self._descriptor = descriptor
        self._way = way
        self._judge = judge
        self._is_public = _is_public(way.steps)
        self.link_problem = way.problem
        self._identity = directory_identity(descriptor)
        self.opened_at = ""
        self.is_closed = False

    def is_same_place(self) -> bool:
        return self._identity == self._source._listed

    def entry(self, name: str) -> os.stat_result | None:
        """Return the state of what stands under a name, without following a link; None if nothing does."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def target(self, name: str) -> str | None:
        """Return what a symbolic link says; None if it is none."""
        try:
            return os.readlink(name, dir_fd=self._descriptor)
        except OSError:
            return None

    def list_items(self, unanswered: Callable[[str], bool] | None = None) -> dict[str, Fingerprint]:
        """List all job files with what tells their states apart; of `unanswered` ones the state is not asked for.

        Raises:
            SourceUnavailable: the directory could not be read to its end, was deleted meanwhile, or is an empty
                one that is not the one last read (an unmounted file system leaves such a directory behind).

        """
        try:
            names = list(filter(is_job_file, os.listdir(self._descriptor)))  # noqa: PTH208 - of a descriptor
            silent = [] if unanswered is None else [name for name in names if unanswered(name)]
            found = self._signatures(set(names).difference(silent) if silent else names)
            found.update(dict.fromkeys(silent, HUNG_HELP))
            deleted = os.fstat(self._descriptor).st_nlink == 0
        except OSError as error:
            raise _unavailable(self._source.path, error, self._source.rules.uid) from None
        if not found and (deleted or self._source._listed not in {None, self._identity}):
            raise SourceUnavailable(
                f"`{self._source.path}` is now another directory and empty",
                "is a file system not mounted? If it is meant to be empty, restart the service",
            )
        self._source._listed = self._identity
        return found

    def _signatures(self, names: Iterable[str]) -> dict[str, Fingerprint]:
        """Ask for the state of each file: this is most of what an idle service does, so it is one plain loop."""
        found: dict[str, Fingerprint] = {}
        look, descriptor = os.stat, self._descriptor
        for name in names:
            self.opened_at = name
            if self.is_closed:
                raise SourceUnavailable(f"the look at `{self._source.path}` was given up")
            try:
                found[name] = fingerprint_of(look(name, dir_fd=descriptor))
            except OSError:
                found[name] = _UNREADABLE
        self.opened_at = ""
        return found

    def read_all(self, names: Sequence[str]) -> Iterator[ReadResult]:
        """Read these files one after the other."""
        return map(self.read, names)

    def read(self, name: str) -> ReadResult:
        """Read one file; never blocks on a FIFO and never opens a device.

        The name is looked up once, for a descriptor that can do nothing but tell what it is of; that is judged, and
        that very file is then opened, whatever the name means by now. A link is walked in the same way.

        Raises:
            SourceUnavailable: the directory went away, so that nothing can be said about the file.

        """
        try:
            pinned = os.open(name, _ANY | os.O_NOFOLLOW, dir_fd=self._descriptor)
        except OSError as error:
            return self._unreadable(name, error)
        try:
            found = os.fstat(pinned)
            if stat.S_ISLNK(found.st_mode):
                return self._read_linked(name)
            return self._read_open(name, pinned, found, str(self._source.path / name))
        except OSError as error:
            return self._unreadable(name, error)
        finally:
            os.close(pinned)

    def _read_linked(self, name: str) -> ReadResult:
        """Read the file that a link leads to; it is as new as the newest link on the way, which made it mean that."""
        with PathWalk(self._judge, self._way.steps) as way:
            here = way.steps[-1].descriptor
            end = way.walk(name)
            self._source._link_names |= {link.name for link in way.links if link.holder == here}
            newest = max((link.changed_at for link in way.links), default=0.0)
            return self._read_open(name, end.descriptor, end.stat, end.path, way.problem, newest, way.steps[:-1])

    def _read_open(
        self,
        name: str,
        pinned: int,
        found: os.stat_result,
        path: str,
        untrusted: trust.TrustProblem | None = None,
        linked: float = 0.0,
        steps: Sequence[PathStep] | None = None,
    ) -> ReadResult:
        if not stat.S_ISREG(found.st_mode):
            return _refused(name, f"{_kind(found.st_mode)}, not a regular file", found)
        untrusted = untrusted or self._judge.check(pinned, found, path)
        if untrusted is not None and not self._source.is_lenient:
            return _refused(name, untrusted.message, found, untrusted.help, host=True)
        if found.st_size > MAX_BYTES:
            help_ = "a job file holds one definition; put data elsewhere"
            return _refused(name, "the file is larger than 1 MiB", found, help_)
        again = time.time() - found.st_ctime < MTIME_GRANULARITY_S
        written = max(found.st_ctime, linked)
        problem = (
            None
            if untrusted is None
            else Problem(untrusted.message, file=name, help=untrusted.help, host_dependent=True)
        )
        is_public = bool(found.st_mode & stat.S_IROTH) and (self._is_public if steps is None else _is_public(steps))
        return ReadResult(
            name, fingerprint_of(found), _content(pinned), problem, written, reread=again, is_public=is_public
        )

    def _unreadable(self, name: str, error: OSError) -> ReadResult:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return self._gone(name)
        found = self._stat(name)
        if error.errno in {errno.EACCES, errno.EPERM}:
            path = os.path.join(self._source.path, name)  # noqa: PTH118 - not to be normalised
            barred = trust.unreadable(path, self._source.rules.uid)
            return _refused(name, barred.message, found, barred.help, host=True)
        if error.errno == errno.ELOOP:
            return self._broken(name, "the symbolic link leads in a circle")
        reason = os.strerror(error.errno or 0).lower()
        return _refused(name, f"the file cannot be read: {reason}", found, host=True)

    def _gone(self, name: str) -> ReadResult:
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            if os.fstat(self._descriptor).st_nlink == 0:
                raise SourceUnavailable(f"`{self._source.path}` has been deleted") from None
            return ReadResult(name)
        return self._broken(name, "the symbolic link points to nothing")

    def _broken(self, name: str, message: str) -> ReadResult:
        """Return what is known of a link that leads nowhere; it is as old as the link itself."""
        problem = Problem(message, file=name, host_dependent=True)
        try:
            written = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_ctime
        except OSError:
            written = time.time()
        return ReadResult(name, _UNREADABLE, problem=problem, modified_at=written)

    def _stat(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor)
        except OSError:
            return None


def _is_public(steps: Iterable[PathStep]) -> bool:
    """Tell whether all users may go through these directories."""
    return all(step.stat.st_mode & stat.S_IXOTH for step in steps)


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
) -> ReadResult:
    """Return what is known of a file that is not to be read; what could not even be looked at may be quite new."""
    problem = Problem(message, file=name, help=help, host_dependent=host)
    if found is None:
        return ReadResult(name, _UNREADABLE, problem=problem, modified_at=time.time())
    return ReadResult(name, fingerprint_of(found), problem=problem, modified_at=found.st_ctime)


OpenDirectory = _OpenDirectory
"""What a look at a directory gives: a `View` that also tells whether the directory is trusted (`distrust`)."""

fingerprint_of: Callable[[os.stat_result], Fingerprint] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_uid", "st_gid"
)
"""Reduces a stat result to what changes whenever content, owner or mode change."""


def directory_identity(descriptor: int) -> Identity:
    """Return the identity of an open directory."""
    found = os.fstat(descriptor)
    try:
        (generation,) = struct.unpack("=q", fcntl.ioctl(descriptor, _FS_IOC_GETVERSION, bytes(8)))
    except OSError:
        generation = _creation_time(descriptor)
    return found.st_dev, found.st_ino, generation


def _creation_time(descriptor: int) -> int:
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


def _unavailable(path: Path, error: OSError, uid: int) -> SourceUnavailable:
    user = f"uid {os.geteuid()}"
    match error.errno:
        case errno.ENOENT:
            return SourceUnavailable(
                f"the jobs directory `{path}` does not exist", f"make it: `mkdir -p {shlex.quote(str(path))}`"
            )
        case errno.ENOTDIR:
            return SourceUnavailable(f"`{path}` is not a directory", "name the directory that holds the job files")
        case errno.EACCES | errno.EPERM:
            help_ = trust.unreadable(str(path), uid).help
            return SourceUnavailable(f"the jobs directory `{path}` may not be read by {user}", help_)
        case _:
            reason = os.strerror(error.errno or 0).lower()
            return SourceUnavailable(f"the jobs directory `{path}` cannot be read: {reason}")
