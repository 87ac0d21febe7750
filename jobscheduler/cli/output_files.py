"""Find the output of a run without the service: in the log and in the output directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jobscheduler.cli.log_files import LogUnavailable, require_log
from jobscheduler.config import Settings
from jobscheduler.control.logged_runs import LoggedRuns, is_record, place_of
from jobscheduler.model import Problem, StoredAttempt
from jobscheduler.model.errors import ProblemError
from jobscheduler.output import OutputReader, RunPlace
from jobscheduler.output.names import is_run_id
from jobscheduler.runlog.filter import LogLine


class OutputUnavailable(ProblemError):
    """There is no output to show; the problem says why."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A former run: its record if the log has it, and what is kept of its attempts."""

    place: RunPlace
    record: LogLine | None
    attempts: Sequence[StoredAttempt]


def stored_run(settings: Settings, name: str, *, failed: bool) -> StoredRun:
    """Return the run of this id, or the last one of a job; with `failed` the last failure, an empty name being any job.

    Raises:
        OutputUnavailable: there is no such run, or nothing is kept.
        LogUnavailable: the output directory has no such run, and there is no log that may know it.

    """
    folder = settings.output_folder
    if folder is None:
        message = "no output is kept: the service writes its log to standard output and has no output directory"
        raise OutputUnavailable(Problem(message, help="`--output-dir DIR` gives it one"))
    reader = OutputReader(folder)
    try:
        found = _find(settings, reader, name, failed=failed)
        if found is None:
            require_log(settings)  # without it nothing is known, and that is what there is to say
            raise OutputUnavailable(_unknown(name, failed=failed))
        place, record = found
        return StoredRun(place, record, reader.attempts(place))
    except PermissionError as error:
        help_ = "ask as root, as a member of its group, or start the service and ask that"
        problem = Problem(f"`{error.filename or folder}` cannot be read by this user", help=help_)
        raise OutputUnavailable(problem) from None


def _find(
    settings: Settings, reader: OutputReader, name: str, *, failed: bool
) -> tuple[RunPlace, LogLine | None] | None:
    logged = _log_of(settings)
    last = None if logged is None else logged.last_run(name or None, failed=failed)
    place = None if last is None else place_of([last])
    if place is not None:
        return place, last
    if failed:
        return None
    lines = logged.lines_of(name) if logged is not None and is_run_id(name) else ()
    place = place_of(lines) or reader.find(name) or reader.newest(name)
    return None if place is None else (place, next(filter(is_record, lines), None))


def _log_of(settings: Settings) -> LoggedRuns | None:
    """Return the log, None if there is none that this user may read."""
    try:
        require_log(settings)
    except LogUnavailable:
        return None
    return LoggedRuns(settings.log_file, settings.log_backups, scan_bytes=sys.maxsize)


def _unknown(name: str, *, failed: bool) -> Problem:
    help_ = "`jobscheduler history` shows what the log has"
    if failed:
        whose = f"of `{name}` " if name else ""
        return Problem(f"no run {whose}has failed, as far back as the log goes", help=help_)
    return Problem(f"neither the log nor the output directory knows a job or a run `{name}`", help=help_)
