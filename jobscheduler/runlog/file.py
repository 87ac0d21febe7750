"""The log file: append lines, rotate by size, and follow the file's name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobscheduler.runlog.file_names import log_files, real_file
from jobscheduler.runlog.open_file import LogRefused, open_log
from jobscheduler.util.file_locks import LockFile, Locks, lock_name
from jobscheduler.util.lock_holders import LockHeld

TRUNCATED_MARKER = b" [cut short]"  # appended to a line that a crash truncated, so that it is not taken for complete

_BLOCK = 4096  # bytes: a full disk has room up to the end of a file's last block, on most file systems


class LogInUse(OSError):
    """Another service writes this log; `holder` is its pid, 0 if unknown."""

    def __init__(self, holder: int) -> None:
        holder_name = f"process {holder}" if holder else "another process"
        super().__init__(errno.EWOULDBLOCK, f"the file is in use by {holder_name}")
        self.holder = holder


class LogFile:
    """An append-only file that rotates by size: `scheduler.log`, `scheduler.log.1`, … the oldest last.

    If another program renames or removes it, writing goes on in a new file of the same name. A rotation that fails
    leaves everything as it is, and the file grows until one succeeds. If checkpoints are written, a file without one is
    not rotated: so the last checkpoint is always in the newest file or in the one before. If the name is a link, it
    stays, and its target is rotated.
    """

    def __init__(
        self, path: Path, max_bytes: int, backups: int, on_beginning: Callable[[], object] | None = None
    ) -> None:
        """`on_beginning` is called when a new file is begun that needs a checkpoint.

        Thread: the writer's.
        """
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

    @property
    def name(self) -> str:
        """The name under which the log speaks of it."""
        return str(self.path)

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Write as many whole lines as fit, and return their bytes; rotate first if the file would get too large.

        A checkpoint is written completely or not at all.

        Raises:
            OSError: nothing could be written.

        """
        self.reopen_if_replaced()
        if self._size and self._size + len(data) > self._limit and self._may_rotate:
            self._rotate(is_checkpoint=is_checkpoint)
        if len(data) > self._max_bytes and not is_checkpoint:
            data = data[: data.rfind(b"\n", 0, self._max_bytes) + 1] or data
        written = os.write(self._descriptor, data)
        if written < len(data):
            written = self._whole_lines(data, written, is_checkpoint=is_checkpoint)
        self._size += written
        if is_checkpoint:  # a checkpoint above the file limit must not trigger the next one at once
            self._may_rotate, self._limit = True, max(self._max_bytes, 2 * len(data))
        return written

    def _whole_lines(self, data: bytes, written: int, *, is_checkpoint: bool) -> int:
        """Remove the last line if only a part of it fitted: the rest may have to go to another file."""
        complete = 0 if is_checkpoint else data.rfind(b"\n", 0, written) + 1
        os.ftruncate(self._descriptor, self._size + complete)
        if not complete:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return complete

    def overwrite_tail(self, room: int, lines: Callable[[int], bytes]) -> int:
        """Write lines of at most `room` bytes on a full disk: over the last lines there.

        The number of overwritten lines is passed to `lines` and returned. Only the file's last block is used, which the
        file keeps even on a full disk.

        Raises:
            OSError: even so there is no room.

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
            self._whole_lines(data, written, is_checkpoint=True)
        self._size += written
        return cut

    def sync(self) -> None:
        """Flush what was written to the disk.

        Thread: any.

        Raises:
            OSError: the flush failed.

        """
        descriptor = os.dup(self._descriptor)  # the writer may close its descriptor meanwhile
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def claim(self) -> int | None:
        """Lock the log against a second service until it is closed; if it is in use, return the holder's pid, or 0.

        Raises:
            OSError: the file cannot be opened.

        """
        try:
            self.reopen_if_replaced()
        except LogInUse as taken:
            return taken.holder
        return None

    def close(self) -> None:
        """Close the file and release the lock; the next `append` opens it again."""
        self._close()
        self._release()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def reopen_if_replaced(self) -> None:
        """Ensure that the open file still has its name, and notice when it was emptied, as copytruncate does.

        Raises:
            OSError: there is no file and none can be made.
            LogInUse: another service writes it.

        """
        if self._descriptor >= 0:
            with suppress(FileNotFoundError):
                named, opened = self.path.stat(), os.fstat(self._descriptor)
                if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                    is_emptied = opened.st_size < self._size and stat.S_ISREG(opened.st_mode)
                    self._size = opened.st_size
                    if is_emptied:
                        self._begin(is_checkpoint=False)
                    return
        is_first = self._descriptor < 0
        self._open()
        self._begin(is_checkpoint=is_first)  # the first file gets its checkpoint when the start has finished

    def _begin(self, *, is_checkpoint: bool) -> None:
        """Note that the file has no checkpoint; request one unless that is what comes next."""
        self._limit = self._max_bytes
        if self._on_new_file is not None:
            self._may_rotate = False
            if not is_checkpoint:
                self._on_new_file()

    def _open(self) -> None:
        """Open or create the file of this name and lock the log, so that a second service finds it in use.

        The previous file stays open until that has succeeded: it may get its name back.
        """
        descriptor = open_log(self.path, may_create_target=self._descriptor >= 0)
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
        """Lock the log once: with a file beside it, which containers share, and by its inode in the user's folder.

        The log itself is not locked: its group may open it, and could lock it.

        Raises:
            LogInUse: another service holds the lock.

        """
        if self._locks:
            return
        real = real_file(self.path)
        for lock in (LockFile(real.parent, f".{real.name}.lock"), Locks(lock_name("log", os.fstat(descriptor)))):
            try:
                lock.acquire()
            except OSError:  # that directory does not allow a lock file
                continue
            except LockHeld as held:
                self._release()
                raise LogInUse(held.pid) from None
            self._locks.append(lock)

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _rotate(self, *, is_checkpoint: bool) -> None:
        """Rename every file to the next number, up to the first free number, and begin a new file.

        A rotation that failed half way leaves a free number. Without this, every further try would delete an old file.
        """
        try:
            rotated = log_files(self.path, self._backups)[1:]
            free = next((index for index, file in enumerate(rotated[:-1]) if not file.exists()), self._backups - 1)
            for index in range(free, 0, -1):
                with suppress(FileNotFoundError):
                    rotated[index - 1].replace(rotated[index])
            real_file(self.path).replace(rotated[0])
        except OSError as error:
            self.rotation_error = error
            return
        self.rotation_error = None
        self._open()
        self._begin(is_checkpoint=is_checkpoint)


def reason_of(error: OSError) -> str:
    """Return why a call of the log file failed, in the words of the log."""
    if isinstance(error, LogInUse | LogRefused):
        return str(error.strerror)
    return os.strerror(error.errno or 0).lower()
