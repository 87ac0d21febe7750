"""Find the log for verbs that read it without the service, and the zone in which they show times."""

from __future__ import annotations

import os
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from jobscheduler.config import Settings
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.timetable.timezones import UnknownTimezone, service_zone
from jobscheduler.util.standard_output import is_standard_output
from jobscheduler.util.text import did_you_mean


class LogUnavailable(ProblemError):
    """There is no readable log; the problem says what to do."""


def host_zone() -> ZoneInfo:
    """Return the zone in which times are shown: the host's, or UTC if that is unknown."""
    try:
        return service_zone(None, os.environ)
    except UnknownTimezone:
        return ZoneInfo("UTC")


def require_log(settings: Settings) -> None:
    """Check that there is a readable log.

    Raises:
        LogUnavailable: there is none, or it cannot be read.

    """
    path = settings.log_file
    if is_standard_output(path):
        message = "there is no log file: the service writes its log to standard output alone"
        help_ = "look where that goes, such as `docker logs`; with `--log-file FILE` the service keeps a file"
        raise LogUnavailable(Problem(message, help=help_))
    try:
        if path.exists() and not path.is_file():
            help_ = "name the log of a service with `--log-file`"
            raise LogUnavailable(Problem(f"the log `{path}` is not a regular file", help=help_))
        if query.exists(path, settings.log_backups):
            return
        help_ = "name it with `--log-file`; a service that has never run has none"
        raise LogUnavailable(Problem(f"there is no log `{path}`", help=help_))
    except PermissionError as error:
        help_ = "ask as root, or as a member of the group that the file belongs to"
        raise LogUnavailable(Problem(f"the log `{error.filename}` cannot be read by this user", help=help_)) from None


def unknown_job_problem(settings: Settings, job_id: str) -> Problem | None:
    """Return a problem if the log has no line about a job, with a suggested id; else None."""
    known = query.recent_job_ids(settings.log_file, settings.log_backups)
    if job_id in known or any(query.iter_newest_first(settings.log_file, settings.log_backups, LogFilter(job_id))):
        return None
    help_ = did_you_mean(job_id, sorted(known)) or _known(known)
    return Problem(f"the log has no line about a job `{job_id}`", help=help_)


def _known(ids: Iterable[str]) -> str | None:
    first = sorted(ids)[:5]
    return f"it has records of `{'`, `'.join(first)}`" + (" and others" if len(first) == 5 else "") if first else None
