"""Lock the jobs directory against a second service, and follow its path when that resolves to another directory.

A second service is refused by locks that only root and the service's own user can hold (`util.file_locks`). The
directory itself is locked, too, but only as a hint: that lock is seen from another container, and any user who can read
the directory may hold it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.service.checked_settings import CheckedSettings
from jobscheduler.service.errors import StartupError
from jobscheduler.service.guarded_calls import call_or, entered
from jobscheduler.service.path_checks import in_use
from jobscheduler.util.file_locks import Locks, lock_name, try_lock
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.lock_holders import LockHeld, is_trusted, lock_holders


class DirectoryLock:
    """The lock of the jobs directory. A context manager: leaving it releases the lock. Without a directory it is empty.

    Raises:
        StartupError: another service holds the lock when it is entered.

    """

    def __init__(self, directory: Path | None, *, is_node: bool = False) -> None:
        """`is_node`: the service is one of several of a cluster, of which each has a directory of its own."""
        self._is_node = is_node
        self._directory = directory
        self._descriptor = -1
        self._locks: Locks | None = None
        self._has_hint = False

    def __enter__(self) -> Self:
        try:
            self._follow()
        except LockHeld as held:
            self._release()
            raise in_use(f"the jobs directory `{self._directory}`", held.pid, is_node=self._is_node) from None
        except OSError as error:
            self._release()
            raise StartupError(_no_lock(str(self._directory), error)) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def reacquire(self) -> int | None:
        """Lock the directory to which the path resolves now, and release the former one.

        Return the process id of another service that holds the lock, 0 if that is unknown, None if no other is seen.
        While there is no directory, nothing is locked.
        """
        try:
            self._follow()
        except LockHeld as held:
            return held.pid
        except OSError:
            return 0  # another user holds every name for the lock, and may run a service
        return self._other_holder()

    def _follow(self) -> None:
        """Acquire the locks of the directory to which the path resolves now, if there is one.

        Raises:
            LockHeld: another service holds them.

        """
        descriptor = self._open()
        if descriptor < 0 or (self._descriptor >= 0 and os.path.sameopenfile(descriptor, self._descriptor)):
            if descriptor >= 0:
                os.close(descriptor)
        else:
            self._release()
            self._descriptor = descriptor
        if self._descriptor >= 0 and self._locks is None:
            locks = Locks(lock_name("jobs", os.fstat(self._descriptor)))
            locks.acquire()
            self._locks = locks

    def _open(self) -> int:
        """Open the directory to which the path resolves now; without one release the lock and return -1."""
        if self._directory is not None:
            with suppress(OSError):
                return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._release()
        return -1

    def _other_holder(self) -> int | None:
        """Lock the directory itself. If that fails, return the process that holds the lock.

        A holder that is not trusted may be no service at all, and counts as none. A holder that cannot be seen is in
        another container: 0.
        """
        if self._descriptor < 0 or self._has_hint:
            return None
        self._has_hint = try_lock(self._descriptor)
        if self._has_hint:
            return None
        holders = lock_holders(os.fstat(self._descriptor))
        trusted = [pid for pid in holders if is_trusted(pid)]
        return None if holders and not trusted else next(iter(trusted), 0)

    def _release(self) -> None:
        if self._locks is not None:
            self._locks.release()
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor, self._locks, self._has_hint = -1, None, False


class LockKeeper:
    """Keeps the lock on the directory to which the path resolves now; logs once if another service holds that lock."""

    def __init__(self, lock: DirectoryLock, log_event: EventLogger, guard: HangGuard, name: str) -> None:
        """`name` is the guard's name for the directory."""
        self._lock = lock
        self._log_event = log_event
        self._guard = guard
        self._name = name
        self._holder: int | None = None  # the other service's process, as logged; 0 if it is unknown

    @property
    def is_shared(self) -> bool:
        """Whether another service uses the same directory."""
        return self._holder is not None

    def reacquire(self) -> None:
        """Lock the directory again. If it does not answer, the last answer stands."""
        holder = call_or(self._guard, self._name, self._lock.reacquire, self._holder)
        if holder is not None and holder != self._holder:
            help_ = "two services on one directory run every job twice: stop one of them"
            self._log_event(Level.ERROR, "directory.shared", pid=holder or None, help=help_)
        self._holder = holder


def lock_directory(checked: CheckedSettings, stack: ExitStack) -> DirectoryLock:
    """Lock the jobs directory, if the service has one, until the stack is closed.

    Raises:
        StartupError: another service holds the lock, or the directory does not answer.

    """
    directory = None if checked.directory is None else checked.settings.jobs_dir
    lock = DirectoryLock(directory, is_node=checked.settings.has_cluster)
    return stack.enter_context(entered(checked.guard, checked.jobs_name, lock))


def _no_lock(directory: str, error: OSError) -> Problem:
    """Return the problem of a directory for whose lock another user holds every name."""
    message = f"the jobs directory `{directory}` cannot be locked against a second service: {error.strerror}"
    help_ = f"remove `{error.filename}` if it belongs to another user, or have root create it for this one"
    return Problem(message, help=help_)
