"""Locks that keep a second service away: on files that only the service's user can open, so that no other holds them.

1. A lock file is made with mode 0600 in a folder where only root and the user can put it, and `flock` is asked for it.
   The lock ends with the process, whatever becomes of that; a file that is left means nothing.
2. What is locked has its device and inode in the file's name, or the file stands beside it. A lock on the thing itself
   would need no more than reading it: any user could hold it, and so keep a service from starting.
3. The folder of root is `/run/jobscheduler`; other users have one below `/run/user/UID` and one below `/tmp`, and lock
   in both, since the first comes and goes with their logins.
4. Another user may take the place of the one below `/tmp`, and there may be no other. So a user's service, and one of
   root's without its folder, also binds an abstract socket, whose name is not in any directory. The kernel tells
   whether this user's service or a stranger has it. If a stranger has both, the start is refused.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT_FOLDER = Path("/run/jobscheduler")
"""Where root's services lock. Others may look into it, to find out that a service of root's is at work."""

_CREDENTIALS = struct.Struct("3i")  # process, user and group, as SO_PEERCRED gives them
MAX_TRIES = 20  # a file that its holder removes in between is made again
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Held(Exception):
    """Another process has the lock; `pid` is its number, 0 if that is unknown."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid}" if pid else "another process")
        self.pid = pid


@dataclass
class LockFile:
    """One lock file, in an open folder or, at the end, in none."""

    folder: Path
    name: str
    _descriptor: int = field(default=-1, init=False)
    _folder: int = field(default=-1, init=False)

    def take(self) -> None:
        """Make the file and lock it, without waiting.

        Raises:
            Held: another process has it.
            OSError: there can be no such file there, or it is not this user's alone.

        """
        self._folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._descriptor = self._locked()
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except (OSError, Held):
            self._close()
            raise

    def release(self) -> None:
        """Remove the file and give the lock free."""
        if self._descriptor >= 0:
            with suppress(OSError):
                if self._is_named(self._descriptor):
                    os.unlink(self.name, dir_fd=self._folder)
        self._close()

    def _locked(self) -> int:
        for _ in range(MAX_TRIES):
            descriptor = os.open(self.name, _FLAGS, 0o600, dir_fd=self._folder)
            try:
                _check_private(descriptor)
                if not lock(descriptor):
                    raise Held(_pid_in(descriptor))
                if self._is_named(descriptor):
                    return descriptor
            except (OSError, Held):
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _is_named(self, descriptor: int) -> bool:
        """Tell whether an open file still stands under the name; its holder may just have removed it."""
        try:
            named = os.stat(self.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._folder = -1


class LockSocket:
    """A lock that needs no folder: an abstract socket. It ends with the process; only its network sees it."""

    def __init__(self, name: str) -> None:
        self._address = f"\0jobscheduler-{os.geteuid()}-{name}"
        self._descriptor = -1

    def take(self) -> None:
        """Bind the socket.

        Raises:
            Held: another process of this user's or of root's has it.
            OSError: a process of another user has it, or there are no such sockets.

        """
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(self._address)
            made.listen(1)  # only then the kernel tells others whose it is
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                raise self._refused() from None
            raise
        self._descriptor = made.detach()

    def release(self) -> None:
        """Give the lock free."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _refused(self) -> Held | OSError:
        """Say who has the socket: a service of this user's, or a stranger."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.setblocking(False)
            try:
                asking.connect(self._address)
                found = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            except OSError as error:
                return error
        pid, uid, _ = _CREDENTIALS.unpack(found)
        return Held(pid) if uid in {0, os.geteuid()} else OSError(errno.EPERM, os.strerror(errno.EPERM))


class Locks:
    """The same lock in each place that there is: in folders, and as a socket where the folders are not certain."""

    def __init__(self, name: str) -> None:
        """`name` tells what is locked."""
        self._name = name
        self._held: list[LockFile | LockSocket] = []

    def take(self) -> None:
        """Lock in each place.

        Raises:
            Held: another service has it in one of them, or a service of root's has it.
            OSError: it can be had in none.

        """
        pid = None if os.geteuid() == 0 else holder_in(ROOT_FOLDER / self._name)
        if pid is not None:
            raise Held(pid)
        places: list[LockFile | LockSocket] = [LockFile(folder, self._name) for folder in folders()]
        if os.geteuid() != 0 or not places:
            places.append(LockSocket(self._name))
        for one in places:
            try:
                one.take()
            except OSError:
                continue
            except Held:
                self.release()
                raise
            self._held.append(one)
        if not self._held:
            raise OSError(errno.EPERM, "no lock against a second service can be had", str(_of_user()[-1]))

    def release(self) -> None:
        """Give the lock free in each place."""
        while self._held:
            self._held.pop().release()


def folders() -> list[Path]:
    """Make and return the folders in which this user's services lock; no other user but root can write there."""
    return [folder for folder in _of_user() if _is_ours(folder)]


def _of_user() -> list[Path]:
    uid = os.geteuid()
    if uid == 0:
        return [ROOT_FOLDER]
    return [Path(f"/run/user/{uid}/jobscheduler"), Path(f"/tmp/jobscheduler-{uid}")]  # noqa: S108 - judged by `folders`


def name_for(kind: str, found: os.stat_result) -> str:
    """Return the name of the lock file for what a stat result is of."""
    return f"{kind}-{found.st_dev:x}-{found.st_ino}.lock"


def lock(descriptor: int) -> bool:
    """Lock an open file or directory for this process, without waiting; False if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: better no protection than no service
    return True


def holder_in(file: Path) -> int | None:
    """Return the pid of the process that has locked a lock file, 0 if that is unknown, None if there is none."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return next(iter(holders_of(found)), None)


def holders_of(found: os.stat_result) -> list[int]:
    """List the processes that hold a lock on what a stat result is of, as far as this process may see them."""
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    holders: dict[bool, list[int]] = {True: [], False: []}
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            words = line.split()
            if "FLOCK" in words and "->" not in words and words[5].rpartition(":")[2] == str(found.st_ino):
                holders[words[5].startswith(f"{device}:")].append(int(words[4]))
    return holders[True] or holders[False]  # btrfs and the like give another device there


def is_trusted(pid: int) -> bool:
    """Tell whether a process is there and is, in each of its user ids, root's or this user's.

    The one that took a lock may be gone, with another process holding what it had open: that is no service.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return False
    line = next((one for one in status.splitlines() if one.startswith("Uid:")), "Uid: -1")
    return {int(word) for word in line.split()[1:]} <= {0, os.geteuid()}


def _is_ours(folder: Path) -> bool:
    """Make a folder if need be, and tell whether only this user can put anything there."""
    mode = 0o755 if os.geteuid() == 0 else 0o700
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=mode)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _check_private(descriptor: int) -> None:
    """Refuse a file that others can open, or could have opened when it was theirs.

    Raises:
        OSError: it is not this user's alone.

    """
    found = os.fstat(descriptor)
    is_private = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    if not is_private:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _pid_in(descriptor: int) -> int:
    """Read which process wrote its number into a lock file; 0 if it has not yet."""
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else 0
