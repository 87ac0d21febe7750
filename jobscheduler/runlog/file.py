"""The log file: append, rotate by size, follow its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobscheduler.runlog.open_file import open_log
from jobscheduler.util.file_locks import LockFile, LockHeld, Locks, lock_name

TRUNCATED_MARKER = b" [cut short]"
"""What is put behind a line that a crash cut short, so that nobody takes what is left of it for the whole."""

_BLOCK = 4096
"""As much of a file as a full disk still has for it, at least, if it has any of it; most file systems' block."""


class LogInUse(OSError):
    """Another service writes this log; `holder` is its pid, 0 if that is unknown."""

    def __init__(self, holder: int) -> None:
        who = f"process {holder}" if holder else "another process"
        super().__init__(errno.EWOULDBLOCK, f"the file is in use by {who}")
        self.holder = holder


class LogFile:
    """An append-only file that rotates by size: `scheduler.log`, `scheduler.log.1`, … the oldest last.

    If something else renames or removes it, writing goes on in a new file of the old name. A rotation that fails
    leaves everything as it is, and the file grows until one succeeds. If marks are written, a file without one is not
    rotated either: the last of them is never further back than in the file before.
    """

    def __init__(
        self, path: Path, max_bytes: int, backups: int, on_beginning: Callable[[], object] | None = None
    ) -> None:
        """`on_beginning` is called, on the thread that writes, when a further file is begun and a mark wanted in it."""
        self.path = path
        self.rotation_error: OSError | None = None
        self._on_new_file = on_beginning
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor = -1
        self._locks: list[LockFile | Locks] = []
        self._size = 0
        self._limit = max_bytes
        self._may_rotate = on_beginning is None

    def append(self, data: bytes, *, is_mark: bool = False) -> int:
        """Write as many whole lines as go and return how many bytes that was; rotate first if it would get too large.

        A mark is written as a whole or not at all.

        Raises:
            OSError: nothing could be written.

        """
        self.reopen_if_replaced()
        if self._size and self._size + len(data) > self._limit and self._may_rotate:
            self._rotate(is_mark=is_mark)
        if len(data) > self._max_bytes and not is_mark:
            data = data[: data.rfind(b"\n", 0, self._max_bytes) + 1] or data
        written = os.write(self._descriptor, data)
        if written < len(data):
            written = self._whole_lines(data, written, is_mark=is_mark)
        self._size += written
        if is_mark:  # one that is larger than a file may be is not to be followed by the next at once
            self._may_rotate, self._limit = True, max(self._max_bytes, 2 * len(data))
        return written

    def _whole_lines(self, data: bytes, written: int, *, is_mark: bool) -> int:
        """Take back the part of a line that was the last to fit: what follows may have to go to another file."""
        whole = 0 if is_mark else data.rfind(b"\n", 0, written) + 1
        os.ftruncate(self._descriptor, self._size + whole)
        if not whole:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole

    def overwrite_tail(self, room: int, lines: Callable[[int], bytes]) -> int:
        """Write lines of at most `room` bytes on a disk that takes no more: in the place of the last ones there.

        How many those are is given to `lines` and returned. Only within the file's last block, which stays its own.

        Raises:
            OSError: there is no room in that way either.

        """
        self.reopen_if_replaced()
        start = max(0, self._size - 1) // _BLOCK * _BLOCK
        last = os.pread(self._descriptor, self._size - start, start)
        keep = last.rfind(b"\n", 0, max(0, _BLOCK - room)) + 1
        if room > _BLOCK or (start and not keep):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self._descriptor, start + keep)
        self._size = start + keep
        cut = last.count(b"\n", keep)
        data = lines(cut)
        written = os.write(self._descriptor, data)
        if written < len(data):
            self._whole_lines(data, written, is_mark=True)
        self._size += written
        return cut

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
        """Lock the log against a second service, until it is closed; return the holder's pid if it is taken (or 0).

        Raises:
            OSError: the file cannot be opened.

        """
        try:
            self.reopen_if_replaced()
        except LogInUse as taken:
            return taken.holder
        return None

    def close(self) -> None:
        """Close the file and give the log free; the next `append` opens it again."""
        self._close()
        self._release()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def reopen_if_replaced(self) -> None:
        """Make sure that what is open stands under the name; notice when it was emptied, as copytruncate does.

        Raises:
            OSError: there is no file and none can be made, or it is another's (`LogTaken`).

        """
        if self._descriptor >= 0:
            with suppress(FileNotFoundError):
                named, held = self.path.stat(), os.fstat(self._descriptor)
                if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                    emptied = held.st_size < self._size and stat.S_ISREG(held.st_mode)
                    self._size = held.st_size
                    if emptied:
                        self._begin(is_mark=False)
                    return
        is_first = self._descriptor < 0
        self._open()
        self._begin(is_mark=is_first)  # what is opened first gets one at the end of the start

    def _begin(self, *, is_mark: bool) -> None:
        """Take note that the file has no mark; ask for one unless that is what comes next."""
        self._limit = self._max_bytes
        if self._on_new_file is not None:
            self._may_rotate = False
            if not is_mark:
                self._on_new_file()

    def _open(self) -> None:
        """Open what stands under the name, or make it, and lock the log, so that a second service finds it taken.

        Until that has succeeded what was open before stays open: should it come back under its name, it is still ours.
        """
        descriptor = open_log(self.path)
        try:
            self._acquire(descriptor)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                size += os.write(descriptor, TRUNCATED_MARKER + b"\n")
        except OSError:
            os.close(descriptor)
            raise
        self._close()
        self._descriptor, self._size = descriptor, size

    def _acquire(self, descriptor: int) -> None:
        """Lock the log, once: by a file beside it, which containers share, and by its inode where the user's locks are.

        Not the log itself, which its group may open, and so lock.

        Raises:
            LogTaken: another service has it.

        """
        if self._locks:
            return
        real = Path(os.path.realpath(self.path))
        for one in (LockFile(real.parent, f".{real.name}.lock"), Locks(lock_name("log", os.fstat(descriptor)))):
            try:
                one.acquire()
            except OSError:  # there can be no lock file in that directory
                continue
            except LockHeld as held:
                self._release()
                raise LogInUse(held.pid) from None
            self._locks.append(one)

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _rotate(self, *, is_mark: bool) -> None:
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
        self._open()
        self._begin(is_mark=is_mark)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
