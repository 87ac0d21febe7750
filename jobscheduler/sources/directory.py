"""A directory of `*.json` files: one job each, not recursive.

Everything is checked on what was opened, never on a name that may mean something else a moment later: the directory is
opened once for a pass, files are opened in it, and type and size are those of the open file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobscheduler.model import Problem, Signature
from jobscheduler.sources import Read, SourceUnavailable

MAX_BYTES = 1024 * 1024
"""Files larger than this are not read."""

_BROKEN = (0,)
"""The signature of a name behind which there is nothing that can be looked at."""


def is_job_file(name: str) -> bool:
    """Tell whether a name in the directory is meant as a job file."""
    return name.endswith(".json") and not name.startswith(".")


class DirectorySource:
    """The jobs directory, under the path that the user gave (which may be a link, and may come to mean another)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listed: tuple[int, int] | None = None

    @contextmanager
    def look(self) -> Iterator[_OpenDirectory]:
        """Open the directory for one pass.

        Raises:
            SourceUnavailable: it is not there, is no directory, or may not be read.

        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable(self.path, error) from None
        try:
            yield _OpenDirectory(self, descriptor)
        finally:
            os.close(descriptor)

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode of what the path means now, or None."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _OpenDirectory:
    """One pass over the directory (a `View`)."""

    def __init__(self, source: DirectorySource, descriptor: int) -> None:
        self._source = source
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        self._deleted = found.st_nlink == 0

    def is_same(self) -> bool:
        return self._identity == self._source._listed

    def listing(self) -> dict[str, Signature]:
        """List all job files with what tells their states apart.

        Raises:
            SourceUnavailable: the directory could not be read to its end, was deleted meanwhile, or is an empty
                one that is not the one last read (an unmounted file system leaves such a directory behind).

        """
        try:
            with os.scandir(self._descriptor) as entries:
                found = {entry.name: self._signature(entry.name) for entry in entries if is_job_file(entry.name)}
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

    def _signature(self, name: str) -> Signature:
        try:
            return signature_of(os.stat(name, dir_fd=self._descriptor))
        except OSError:
            return _BROKEN

    def read(self, name: str) -> Read:
        """Read one file; never blocks on a FIFO and never opens a device.

        Raises:
            SourceUnavailable: the directory went away, so that nothing can be said about the file.

        """
        try:
            before = os.stat(name, dir_fd=self._descriptor)
            if not stat.S_ISREG(before.st_mode):
                return self._refused(name, f"{_kind(before.st_mode)}, not a regular file", signature_of(before))
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            return self._unreadable(name, error)
        try:
            return self._read_open(name, descriptor)
        except OSError as error:
            return self._unreadable(name, error)
        finally:
            os.close(descriptor)

    def _read_open(self, name: str, descriptor: int) -> Read:
        found = os.fstat(descriptor)
        signature = signature_of(found)
        if not stat.S_ISREG(found.st_mode):
            return self._refused(name, f"{_kind(found.st_mode)}, not a regular file", signature)
        if found.st_size > MAX_BYTES:
            help_ = "a job file holds one definition; put data elsewhere"
            return self._refused(name, "the file is larger than 1 MiB", signature, help_)
        raw = bytearray()
        while len(raw) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES + 1 - len(raw))):
            raw += part
        return Read(name, signature, bytes(raw), written=found.st_ctime)

    def _unreadable(self, name: str, error: OSError) -> Read:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return self._gone(name)
        signature = self._signature(name)
        if error.errno in {errno.EACCES, errno.EPERM}:
            shown = self._source.path / name
            help_ = f"make it readable for the service's user, for example `chmod a+r {shown}`"
            return self._refused(name, "the service may not read the file", signature, help_, host=True)
        if error.errno == errno.ELOOP:
            return self._refused(name, "the symbolic link leads in a circle", signature, host=True)
        reason = os.strerror(error.errno or 0).lower()
        return self._refused(name, f"the file cannot be read: {reason}", signature, host=True)

    def _gone(self, name: str) -> Read:
        try:
            os.lstat(name, dir_fd=self._descriptor)  # type: ignore[call-overload,unused-ignore]
        except OSError:
            if os.fstat(self._descriptor).st_nlink == 0:
                raise SourceUnavailable(f"`{self._source.path}` has been deleted") from None
            return Read(name)
        return self._refused(name, "the symbolic link points to nothing", _BROKEN, host=True)

    def _refused(
        self,
        name: str,
        message: str,
        signature: Signature,
        help: str | None = None,  # noqa: A002
        *,
        host: bool = False,
    ) -> Read:
        return Read(name, signature, problem=Problem(message, file=name, help=help, host=host))


def signature_of(found: os.stat_result) -> Signature:
    """Reduce a stat result to what changes whenever content, owner or mode change."""
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_mode,
        found.st_uid,
        found.st_gid,
    )


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
            return SourceUnavailable(f"the jobs directory `{path}` does not exist", f"make it: `mkdir -p {path}`")
        case errno.ENOTDIR:
            return SourceUnavailable(f"`{path}` is not a directory", "name the directory that holds the job files")
        case errno.EACCES | errno.EPERM:
            return SourceUnavailable(
                f"the jobs directory `{path}` may not be read by {user}", f"let it: `chmod a+rx {path}`"
            )
        case _:
            reason = os.strerror(error.errno or 0).lower()
            return SourceUnavailable(f"the jobs directory `{path}` cannot be read: {reason}")
