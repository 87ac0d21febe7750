"""Check the paths of a service, and lock its log against a second service."""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext
from pathlib import Path

from jobscheduler.config import Settings
from jobscheduler.jobs.sources import Source, SourceUnavailable
from jobscheduler.model import Problem
from jobscheduler.runlog import LogFile, LogRefused, check_log
from jobscheduler.service.errors import StartupError
from jobscheduler.util.path_walk import is_missing
from jobscheduler.util.standard_output import is_open, is_standard_output

_OTHER_LOG_HELP = "name another with `--log-file FILE`"
_OWN_SERVICE_HELP = "; `serve --user` runs a service of your own, with its files in your home"


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
        raise in_use(f"the log `{settings.log_file}`", holder, is_node=settings.has_cluster)


def in_use(name: str, holder: int, *, is_node: bool) -> StartupError:
    """Return the refusal of a start because another process holds a lock. `holder` is 0 if that is unknown.

    `is_node`: the service is one of several of a cluster.
    """
    process = f"process {holder}" if holder else "another process"
    see = f"; see `ps {holder}`" if holder else ""
    help_ = f"stop that service first, or name others with `--jobs-dir DIR --log-file FILE`{see}"
    if is_node:
        options = "`--jobs-dir DIR --log-file FILE --socket FILE --node NAME`"
        help_ = f"each service of a cluster needs its own on one host, with equal job files: {options}{see}"
    return StartupError(Problem(f"{name} is in use by {process}", help=help_))


def _problem_of_log(log: Path, backups: int) -> Problem | None:
    """Return why the log cannot be written or cannot be trusted, if so."""
    if is_standard_output(log):
        return None if is_open() else Problem("this process has no standard output", help=_OTHER_LOG_HELP)
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


def problems_of_paths(settings: Settings, source: Source | None) -> tuple[Problem, ...]:
    """Return why the jobs directory, if there is to be one, and the log cannot be used, if so.

    What `mkdir` can mend is one problem for both.
    """
    problems = [*_problems_of_source(source), *_problems_of_log(settings)]
    missing = [path for path in _directories(settings, source) if is_missing(path)]
    if not missing:
        return tuple(problems)
    paths = " ".join(shlex.quote(str(path)) for path in missing)
    help_ = f"make it so with `mkdir -p {paths}`, or name others with `--jobs-dir DIR --log-file FILE`"
    help_ += _OWN_SERVICE_HELP if os.geteuid() != 0 and "jobs_dir" not in settings.given else ""
    return (Problem("; ".join(problem.message for problem in problems), help=help_),)


def _directories(settings: Settings, source: Source | None) -> list[Path]:
    """Return the directories that the service needs."""
    of_jobs = [] if source is None else [settings.jobs_dir]
    return [*of_jobs, *([] if is_standard_output(settings.log_file) else [_folder_of_log(settings)])]


def _folder_of_log(settings: Settings) -> Path:
    return settings.log_file.absolute().parent


def _problems_of_source(source: Source | None) -> list[Problem]:
    try:
        with source.open() if source is not None else nullcontext():
            return []
    except SourceUnavailable as reason:
        return [Problem(str(reason), help=reason.help)]


def _problems_of_log(settings: Settings) -> list[Problem]:
    folder = _folder_of_log(settings)
    if is_missing(folder) and not is_standard_output(settings.log_file):
        return [Problem(f"the log's directory `{folder}` does not exist")]
    problem = _problem_of_log(settings.log_file, settings.log_backups)
    return [] if problem is None else [problem]
