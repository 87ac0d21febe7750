"""The log file: append, rotate by size, follow its name."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class LogFile:
    """An append-only file that rotates by size: `scheduler.log`, `scheduler.log.1`, … the oldest last.

    If something else renames or removes it, writing goes on in a new file of the old name. A rotation that fails
    leaves everything as it is, and the file grows until one succeeds.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self.path = path
        self.rotation_error: OSError | None = None
        self.rotations = 0
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor = -1
        self._size = 0

    def append(self, data: bytes) -> int:
        """Write as much as goes and return how many bytes that was; rotate first if it would get too large.

        Raises:
            OSError: nothing could be written.

        """
        self._follow()
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        written = os.write(self._descriptor, data)
        self._size += written
        return written

    def sync(self) -> None:
        """Have the system put what was written onto the disk. May be called on another thread.

        Raises:
            OSError: it did not.

        """
        descriptor = os.dup(self._descriptor)  # the writer may close its own meanwhile
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def claim(self) -> int | None:
        """Lock the file against a second service, until it is closed; return the holder's pid if it is taken (or 0).

        Raises:
            OSError: the file cannot be opened.

        """
        self._follow()
        return None if lock(self._descriptor) else holder_of(self._descriptor)

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _follow(self) -> None:
        """Make sure that what is open is what stands under the name."""
        if self._descriptor >= 0:
            try:
                named, held = self.path.stat(), os.fstat(self._descriptor)
                if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                    self._size = held.st_size
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        lock(self._descriptor)  # so that a second service finds a new file taken, too
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._size += os.write(self._descriptor, b"\n")  # a crash cut the last line short: do not continue it

    def _rotate(self) -> None:
        try:
            for number in range(self._backups - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number).replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        except OSError as error:
            self.rotation_error = error
            return
        self.rotation_error = None
        self.rotations += 1
        self.close()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def lock(descriptor: int) -> bool:
    """Lock an open file or directory for this process, without waiting; False if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: better no protection than no service
    return True


def holder_of(descriptor: int) -> int:
    """Return the pid of the process that holds the lock of an open file; 0 if it cannot be told."""
    inode = str(os.fstat(descriptor).st_ino)
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("ascii").splitlines():
            words = line.split()
            if "FLOCK" in words and words[5].rpartition(":")[2] == inode:
                return int(words[4])
    return 0
