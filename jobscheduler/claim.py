"""What a start needs to be there, and to have for itself alone: the jobs directory and the log.

A lock on the directory itself (`flock`) ends with the process that has it, whatever becomes of that.
"""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from jobscheduler.config import Settings
from jobscheduler.model import Problem
from jobscheduler.runlog import LogFile, holder_of, lock
from jobscheduler.sources import Source, SourceUnavailable


class CannotStart(Exception):
    """The service cannot start; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Claim:
    """The jobs directory, for this service alone. A context manager: leaving it gives the directory free.

    Raises `CannotStart` when entered if another service has it. Without a directory there is nothing to have.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> Self:
        holder = self.renew()
        if holder is not None:
            raise _in_use(f"the jobs directory `{self._directory}`", holder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._let_go()

    def renew(self) -> int | None:
        """Lock the directory that the path means now, and let go of the one that it meant before.

        Returns the process id of the other service that has it, 0 if that cannot be told, None if it is ours.
        Does nothing while there is no directory: it is held against nobody then.
        """
        if self._directory is None:
            return None
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._let_go()
            return None
        if self._descriptor >= 0 and os.path.sameopenfile(descriptor, self._descriptor):
            os.close(descriptor)
            return None
        self._let_go()
        try:
            holder = None if lock(descriptor) else holder_of(descriptor)
        except OSError:  # a file system that knows no locks
            holder = None
        if holder is None:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return holder

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1


def claim_log(settings: Settings, file: LogFile) -> None:
    """Take the log for this service alone.

    Raises:
        CannotStart: another service has it, or it cannot be opened.

    """
    try:
        holder = file.claim()
    except OSError as error:
        raise CannotStart(Problem(f"the log file `{settings.log_file}` cannot be opened: {error.strerror}")) from None
    if holder is not None:
        raise _in_use(f"the log `{settings.log_file}`", holder)


def _in_use(what: str, holder: int) -> CannotStart:
    who = f"process {holder}" if holder else "another process"
    see = f"; see `ps {holder}`" if holder else ""
    help_ = f"stop that service first, or name others with `--jobs-dir DIR --log-file FILE`{see}"
    return CannotStart(Problem(f"{what} is in use by {who}", help=help_))


def _unwritable(log: Path) -> Problem:
    other = "name another with `--log-file FILE`"
    if log.is_dir():
        return Problem(f"the log file `{log}` is a directory", help=other)
    return Problem(f"the log file `{log}` cannot be written", help=f"let the service's user write there, or {other}")


def check_paths(settings: Settings, source: Source | None) -> None:
    """Refuse to start without the jobs directory (if there is to be one) or a place for the log, in one problem.

    Raises:
        CannotStart: one or both are missing.

    """
    folder = settings.log_file.absolute().parent
    make, problems = [], []
    try:
        with source.look() if source is not None else nullcontext():
            pass
    except SourceUnavailable as reason:
        problems.append(Problem(str(reason), help=reason.help))
        make += [] if settings.jobs_dir.exists() else [settings.jobs_dir]
    if not folder.is_dir():
        problems.append(Problem(f"the log's directory `{folder}` does not exist"))
        make.append(folder)
    elif not _may_write(settings.log_file):
        problems.append(_unwritable(settings.log_file))
    if make:
        paths = " ".join(shlex.quote(str(path)) for path in make)
        help_ = f"make it so with `mkdir -p {paths}`, or name others with `--jobs-dir DIR --log-file FILE`"
        raise CannotStart(Problem("; ".join(problem.message for problem in problems), help=help_))
    if problems:
        raise CannotStart(problems[0])


def _may_write(file: Path) -> bool:
    return os.access(file if file.exists() else file.absolute().parent, os.W_OK) and not file.is_dir()
