"""What a start needs to be there, and to have for itself alone: the jobs directory and the log.

A service is refused by a lock that only root and its own user could hold (`lockfile`). The directory itself is locked,
too, but only as a hint: a service in another container is found by that, and any user who can read it may hold it.
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
from jobscheduler.runlog import LogFile, LogRefused, check_log
from jobscheduler.util.file_locks import LockHeld, Locks, is_trusted, lock_holders, lock_name, try_lock
from jobscheduler.util.path_walk import is_missing

_OTHER_LOG_HELP = "name another with `--log-file FILE`"


class StartupError(Exception):
    """The service cannot start; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class DirectoryLock:
    """The jobs directory, for this service alone. A context manager: leaving it gives the directory free.

    Raises `CannotStart` when entered if another service has it. Without a directory there is nothing to have.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._descriptor = -1
        self._locks: Locks | None = None
        self._is_alone = False

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
        """Lock the directory that the path means now, and let go of the one that it meant before.

        Returns the process id of the other service that has it, 0 if that cannot be told, None if it is ours, as far
        as can be seen. Does nothing while there is no directory: it is held against no service then.
        """
        try:
            self._follow()
        except LockHeld as held:
            return held.pid
        except OSError:
            return 0  # another user keeps every lock of it: none can be had, so it may be another service's
        return self._hint()

    def _follow(self) -> None:
        """Hold the locks of the directory that the path means now; none if there is none.

        Raises:
            Held: another service has them.

        """
        descriptor = self._opened()
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

    def _opened(self) -> int:
        """Open the directory that the path means now; let go and return -1 if there is none."""
        if self._directory is not None:
            with suppress(OSError):
                return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._release()
        return -1

    def _hint(self) -> int | None:
        """Lock the directory itself; return who else has, unless that is a user who may be no service at all.

        A holder that cannot be seen is in another container: 0.
        """
        if self._descriptor < 0 or self._is_alone:
            return None
        self._is_alone = try_lock(self._descriptor)
        if self._is_alone:
            return None
        holders = lock_holders(os.fstat(self._descriptor))
        likely = [pid for pid in holders if is_trusted(pid)]
        return None if holders and not likely else next(iter(likely), 0)

    def _release(self) -> None:
        if self._locks is not None:
            self._locks.release()
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor, self._locks, self._is_alone = -1, None, False


def lock_log(settings: Settings, file: LogFile) -> None:
    """Take the log for this service alone.

    Raises:
        CannotStart: another service has it, or it cannot be opened.

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
    """Say that another user has taken every place for the lock."""
    message = f"the jobs directory `{directory}` cannot be locked against a second service: {error.strerror}"
    help_ = f"remove `{error.filename}` if it is another user's, or have root make it for this one"
    return Problem(message, help=help_)


def _in_use(what: str, holder: int) -> StartupError:
    who = f"process {holder}" if holder else "another process"
    see = f"; see `ps {holder}`" if holder else ""
    help_ = f"stop that service first, or name others with `--jobs-dir DIR --log-file FILE`{see}"
    return StartupError(Problem(f"{what} is in use by {who}", help=help_))


def _problem_of_log(log: Path, backups: int) -> Problem | None:
    """Say why the log cannot be there, or cannot be believed."""
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
    """Refuse to start without the jobs directory (if there is to be one) or a place for the log, in one problem.

    Raises:
        CannotStart: one or both are missing.

    """
    folder = settings.log_file.absolute().parent
    make, problems = [], []
    try:
        with source.open() if source is not None else nullcontext():
            pass
    except SourceUnavailable as reason:
        problems.append(Problem(str(reason), help=reason.help))
        make += [settings.jobs_dir] if is_missing(settings.jobs_dir) else []
    if is_missing(folder):
        problems.append(Problem(f"the log's directory `{folder}` does not exist"))
        make.append(folder)
    else:
        problem = _problem_of_log(settings.log_file, settings.log_backups)
        problems += [] if problem is None else [problem]
    if make:
        paths = " ".join(shlex.quote(str(path)) for path in make)
        help_ = f"make it so with `mkdir -p {paths}`, or name others with `--jobs-dir DIR --log-file FILE`"
        raise StartupError(Problem("; ".join(problem.message for problem in problems), help=help_))
    if problems:
        raise StartupError(problems[0])
