"""The log file: append, rotate by size, follow its name."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CUT = b" [cut short]"
"""What is put behind a line that a crash cut short, so that nobody takes what is left of it for the whole."""


class LogFile:
    """An append-only file that rotates by size: `scheduler.log`, `scheduler.log.1`, … the oldest last.

    If something else renames or removes it, writing goes on in a new file of the old name. A rotation that fails
    leaves everything as it is, and the file grows until one succeeds.
    """

    def __init__(
        self, path: Path, max_bytes: int, backups: int, on_beginning: Callable[[], object] = lambda: None
    ) -> None:
        """`on_beginning` is called, on the thread that writes, when writing begins in a file without lines before."""
        self.path = path
        self.rotation_error: OSError | None = None
        self.beginnings = 0
        """How often writing began in a file without the lines before: rotated, renamed, removed or emptied."""
        self._on_beginning = on_beginning
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor = -1
        self._size = 0
        self._reopen = False

    def append(self, data: bytes) -> int:
        """Write as many whole lines as go and return how many bytes that was; rotate first if it would get too large.

        Raises:
            OSError: nothing could be written.

        """
        self._follow()
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        if len(data) > self._max_bytes:
            data = data[: data.rfind(b"\n", 0, self._max_bytes) + 1] or data
        written = os.write(self._descriptor, data)
        if written < len(data):
            written = self._whole_lines(data, written)
        self._size += written
        return written

    def _whole_lines(self, data: bytes, written: int) -> int:
        """Take back the part of a line that was the last to fit: what follows may have to go to another file."""
        whole = data.rfind(b"\n", 0, written) + 1
        os.ftruncate(self._descriptor, self._size + whole)
        if not whole:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole

    def reopen(self) -> None:
        """Have the file opened anew before the next line is written. May be called on another thread."""
        self._reopen = True

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
        """Make sure that what is open stands under the name; notice when it was emptied, as copytruncate does."""
        if self._reopen:
            self._reopen = False
            self.close()
        if self._descriptor >= 0:
            with suppress(FileNotFoundError):
                named, held = self.path.stat(), os.fstat(self._descriptor)
                if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                    emptied, self._size = held.st_size < self._size, held.st_size
                    self._begin(emptied)
                    return
            self.close()
        self._open()
        self._begin(self._size == 0)

    def _begin(self, is_new: bool) -> None:
        if is_new:
            self.beginnings += 1
            self._on_beginning()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        lock(self._descriptor)  # so that a second service finds a new file taken, too
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._size += os.write(self._descriptor, CUT + b"\n")

    def _rotate(self) -> None:
        """Move every file one number on, up to the first number that is free, and begin a new one.

        A free number is left by a rotation that failed half way: the next tries must not push out one old file each.
        """
        try:
            free = next((one for one in range(1, self._backups) if not self._numbered(one).exists()), self._backups)
            for number in range(free - 1, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number).replace(self._numbered(number + 1))
            self.path.replace(self._numbered(1))
        except OSError as error:
            self.rotation_error = error
            return
        self.rotation_error = None
        self.close()
        self._open()
        self._begin(True)

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
