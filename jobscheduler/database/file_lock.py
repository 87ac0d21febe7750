"""Lock an SQLite database for one service: with `flock` on a file beside it that only its owner can open."""

from __future__ import annotations

import fcntl
import os
import stat
import time

from jobscheduler.database.errors import Unavailable
from jobscheduler.database.lock_holder import DatabaseInUse, LockHolder, parse_holder

LOCK_SUFFIX = "-service"  # appended to the name of an SQLite database for its lock file

_LOCK_WAIT_S = 1.0  # seconds: other processes lock the file for a moment to see whether it is in use
_RETRY_S = 0.02  # seconds between two tries


class FileLock:
    """The lock of an SQLite file. `problem` says why there is none: its file cannot be opened."""

    def __init__(self, file: str, this_service: LockHolder) -> None:
        self._path = os.path.realpath(file) + LOCK_SUFFIX
        self._holder = this_service
        self._descriptor = -1
        self.problem: str | None = None

    def acquire(self) -> None:
        """Take the lock, unless it is held.

        Raises:
            DatabaseInUse: another service holds it.
            Unavailable: other users can open the file.

        """
        if self._descriptor >= 0:
            if self._is_there():
                return
            self.release()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            self.problem = f"`{self._path}` cannot be opened, so another service on this database stays unnoticed: "
            self.problem += str(error.strerror).lower()
            return
        self.problem = None
        try:
            self._acquire(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _is_there(self) -> bool:
        """Return whether the locked file is still the one that another service would find."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self._path))
        except OSError:  # it was removed or replaced
            return False

    def _acquire(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o077:
            raise Unavailable(
                f"the file `{self._path}` can be opened by others", "remove it: the service makes it anew"
            )
        deadline = time.monotonic() + _LOCK_WAIT_S
        while not _flock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DatabaseInUse(parse_holder(os.pread(descriptor, 4096, 0).decode("utf-8", "replace")))
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._holder.text().encode(), 0)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def is_file_locked(file: str) -> bool | None:
    """Return whether a service holds the lock of this database; None if that is unknown. Takes no lock."""
    try:
        descriptor = os.open(os.path.realpath(file) + LOCK_SUFFIX, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        return not _flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:  # another process has it
        return False
    return True
