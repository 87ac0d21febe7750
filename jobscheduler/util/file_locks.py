"""Locks that keep a second service away, on files that only the service's user can open.

1. A lock file is made with mode 0600 in a folder where only root and the user can put it, and a POSIX record lock is
   taken on it. The lock ends with the process. A child that the process was starting when it was killed does not keep
   it; a `flock` would be kept, for hours if the program of that child is on a mount that hangs. A file without a lock
   means nothing.
2. The name of the file holds device and inode of the locked thing, or the file stands beside it. To lock the thing
   itself a process need only read it, so any user could keep the service from starting.
3. The folder of root is `/run/jobscheduler`. Other users have one below `/run/user/UID` and one below `/tmp`, and lock
   in both, because the first comes and goes with their logins.
4. A stranger may take the name of the folder below `/tmp`, and there may be no other folder. So a user's service, and a
   service of root without its folder, also binds an abstract socket, whose name is in no directory. The kernel tells
   whether this user's service or a stranger has it. If a stranger has both, the start is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from jobscheduler.util.lock_holders import LockHeld, lock_holder
from jobscheduler.util.lock_socket import LockSocket

# where services of root lock; other users may look into it, to find a running service of root
ROOT_FOLDER = Path("/run/jobscheduler")

MAX_TRIES = 20  # to make the file; its holder may remove it in between
_locked_here: set[tuple[int, int]] = set()  # device and inode; to open and close such a file would end its lock
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class LockFile:
    """One lock file. `acquire` opens its folder, `release` closes it."""

    folder: Path
    name: str
    _descriptor: int = field(default=-1, init=False)
    _folder: int = field(default=-1, init=False)

    def acquire(self) -> None:
        """Make the file and lock it, without waiting.

        Raises:
            LockHeld: another process has the lock.
            OSError: the file cannot be made, or another user may open it.

        """
        self._folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._descriptor = self._open_locked()
            _locked_here.add(_identity(os.fstat(self._descriptor)))
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except (OSError, LockHeld):
            self._close()
            raise

    def release(self) -> None:
        """Remove the file and release the lock."""
        if self._descriptor >= 0:
            with suppress(OSError):
                if self._is_named(self._descriptor):
                    os.unlink(self.name, dir_fd=self._folder)
        self._close()

    def _open_locked(self) -> int:
        for _ in range(MAX_TRIES):
            self._check_not_locked_here()
            descriptor = os.open(self.name, _FLAGS, 0o600, dir_fd=self._folder)
            try:
                _check_private(descriptor)
                if not _try_record_lock(descriptor):
                    raise LockHeld(_pid_in(descriptor))
                if self._is_named(descriptor):
                    return descriptor
            except (OSError, LockHeld):
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _check_not_locked_here(self) -> None:
        """Refuse a file that this process has locked: the kernel would let it lock the file again.

        Raises:
            LockHeld: this process has the lock.

        """
        with suppress(FileNotFoundError):
            if _identity(os.stat(self.name, dir_fd=self._folder, follow_symlinks=False)) in _locked_here:
                raise LockHeld(os.getpid())

    def _is_named(self, descriptor: int) -> bool:
        """Return whether an open file still has the name. Its holder may just have removed it."""
        try:
            named = os.stat(self.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    def _close(self) -> None:
        if self._descriptor >= 0:
            _locked_here.discard(_identity(os.fstat(self._descriptor)))
        for descriptor in (self._descriptor, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._folder = -1


class Locks:
    """The same lock in each folder of this user, and as a socket where a stranger could take the folder."""

    def __init__(self, name: str) -> None:
        """Lock what `name` stands for."""
        self._name = name
        self._acquired: list[LockFile | LockSocket] = []

    def acquire(self) -> None:
        """Acquire the lock wherever that is possible.

        Raises:
            LockHeld: another service has one of the locks, or a service of root has its lock.
            OSError: none can be acquired.

        """
        pid = None if os.geteuid() == 0 else lock_holder(ROOT_FOLDER / self._name)
        if pid is not None:
            raise LockHeld(pid)
        locks: list[LockFile | LockSocket] = [LockFile(folder, self._name) for folder in lock_folders()]
        if os.geteuid() != 0 or not locks:
            locks.append(LockSocket(self._name))
        for lock in locks:
            try:
                lock.acquire()
            except OSError:  # not possible there; that none is possible is an error below
                continue
            except LockHeld:
                self.release()
                raise
            self._acquired.append(lock)
        if not self._acquired:
            raise OSError(errno.EPERM, "no lock against a second service is available", str(_folders_of_user()[-1]))

    def release(self) -> None:
        """Release all locks."""
        while self._acquired:
            self._acquired.pop().release()


def lock_folders() -> list[Path]:
    """Make and return the folders in which this user's services lock. Only the user and root can write there."""
    return [folder for folder in _folders_of_user() if _is_private_folder(folder)]


def _folders_of_user() -> list[Path]:
    uid = os.geteuid()
    if uid == 0:
        return [ROOT_FOLDER]
    return [Path(f"/run/user/{uid}/jobscheduler"), Path(f"/tmp/jobscheduler-{uid}")]  # noqa: S108 - judged by `lock_folders`


def lock_name(kind: str, file_stat: os.stat_result) -> str:
    """Return the name of the lock file for a file with this stat result."""
    return f"{kind}-{file_stat.st_dev:x}-{file_stat.st_ino}.lock"


def try_lock(descriptor: int) -> bool:
    """Lock an open directory without waiting; return False if another process has locked it."""
    return _try(fcntl.flock, descriptor)


def _try_record_lock(descriptor: int) -> bool:
    """Lock an open file without waiting; return False if another process has locked it."""
    return _try(fcntl.lockf, descriptor)


def _try(lock: Callable[[int, int], None], descriptor: int) -> bool:
    try:
        lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX lets a system answer with either
        return False
    except OSError:
        return True  # a file system without locks: a service without protection is better than none
    return True


def _identity(file_stat: os.stat_result) -> tuple[int, int]:
    return file_stat.st_dev, file_stat.st_ino


def _is_private_folder(folder: Path) -> bool:
    """Make a folder if it does not exist, and tell whether only this user can write there."""
    mode = 0o755 if os.geteuid() == 0 else 0o700
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=mode)
        file_stat = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(file_stat.st_mode) and file_stat.st_uid == os.geteuid() and not file_stat.st_mode & 0o022


def _check_private(descriptor: int) -> None:
    """Refuse a file that another user can open, or may have open because it was theirs.

    Raises:
        OSError: another user can open it.

    """
    file_stat = os.fstat(descriptor)
    is_private = stat.S_ISREG(file_stat.st_mode) and file_stat.st_uid == os.geteuid() and not file_stat.st_mode & 0o077
    if not is_private:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _pid_in(descriptor: int) -> int:
    """Return the pid that the holder wrote into a lock file; 0 if it has not written it yet."""
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else 0
