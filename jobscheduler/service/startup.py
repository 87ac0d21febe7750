"""Check the paths of a service, and lock its jobs directory and its log against a second service.

A second service is refused by locks that only root and the service's own user can hold (`util.file_locks`). The
directory itself is locked, too, but only as a hint: that lock is seen from another container, and any user who can read
the directory may hold it.
"""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from jobscheduler.config import Settings
from jobscheduler.jobs.sources import Source, SourceUnavailable
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.runlog import LogFile, LogRefused, check_log
from jobscheduler.util.file_locks import LockHeld, Locks, is_trusted, lock_holders, lock_name, try_lock
from jobscheduler.util.path_walk import is_missing

_OTHER_LOG_HELP = "name another with `--log-file FILE`"


class StartupError(ProblemError):
    """The service cannot start. The problem says why, and its help what to do."""


class DirectoryLock:
    """The lock of the jobs directory. A context manager: leaving it releases the lock. Without a directory it is empty.

    Raises:
        StartupError: another service holds the lock when it is entered.

    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._descriptor = -1
        self._locks: Locks | None = None
        self._has_hint = False

    def __enter__(self) -> Self:
        try:
            self._follow()
        except LockHeld as held:
            self._release()
            raise _in_use(f"the jobs directory `{self._directory}`", held.pid) from None
        except OSError as error:
            self._release()
            raise StartupError(_no_lock(str(self._directory), error)) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
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


def lock_log(settings: Settings, file: LogFile) -> None:
    """Lock the log against a second service.

    Raises:
        StartupError: another service holds the lock, or the log cannot be opened.

    """
    try:
        holder = file.claim()
    except LogRefused as refused:
        raise StartupError(Problem(str(refused.strerror), help=refused.help)) from None
    except OSError as error:
        raise StartupError(Problem(f"the log file `{settings.log_file}` cannot be opened: {error.strerror}")) from None
    if holder is not None:
        raise _in_use(f"the log `{settings.log_file}`", holder)


def _no_lock(directory: str, error: OSError) -> Problem:
    """Return the problem of a directory for whose lock another user holds every name."""
    message = f"the jobs directory `{directory}` cannot be locked against a second service: {error.strerror}"
    help_ = f"remove `{error.filename}` if it belongs to another user, or have root create it for this one"
    return Problem(message, help=help_)


def _in_use(name: str, holder: int) -> StartupError:
    process = f"process {holder}" if holder else "another process"
    see = f"; see `ps {holder}`" if holder else ""
    help_ = f"stop that service first, or name others with `--jobs-dir DIR --log-file FILE`{see}"
    return StartupError(Problem(f"{name} is in use by {process}", help=help_))


def _problem_of_log(log: Path, backups: int) -> Problem | None:
    """Return why the log cannot be written or cannot be trusted, if so."""
    try:
        check_log(log, backups)
    except LogRefused as refused:
        return Problem(str(refused.strerror), help=refused.help)
    except OSError as error:
        return Problem(f"the log file `{log}` cannot be opened: {str(error.strerror).lower()}", help=_OTHER_LOG_HELP)
    if os.access(log if log.exists() else log.absolute().parent, os.W_OK):
        return None
    help_ = f"let the service's user write there, or {_OTHER_LOG_HELP}"
    return Problem(f"the log file `{log}` cannot be written", help=help_)


def check_paths(settings: Settings, source: Source | None) -> None:
    """Check the jobs directory, if there is to be one, and the log. What `mkdir` can repair is one problem for both.

    Raises:
        StartupError: one of them is missing or cannot be used.

    """
    folder = settings.log_file.absolute().parent
    missing, problems = [], []
    try:
        with source.open() if source is not None else nullcontext():
            pass
    except SourceUnavailable as reason:
        problems.append(Problem(str(reason), help=reason.help))
        missing += [settings.jobs_dir] if is_missing(settings.jobs_dir) else []
    if is_missing(folder):
        problems.append(Problem(f"the log's directory `{folder}` does not exist"))
        missing.append(folder)
    else:
        problem = _problem_of_log(settings.log_file, settings.log_backups)
        problems += [] if problem is None else [problem]
    if missing:
        paths = " ".join(shlex.quote(str(path)) for path in missing)
        help_ = f"make it so with `mkdir -p {paths}`, or name others with `--jobs-dir DIR --log-file FILE`"
        raise StartupError(Problem("; ".join(problem.message for problem in problems), help=help_))
    if problems:
        raise StartupError(problems[0])
