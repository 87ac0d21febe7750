"""Read the service's own alerts: each is a task in a file of its own, under the same rules as a job file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from jobscheduler.alerts.rules import DefaultAlerts
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import ParseContext, parse_task
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Problem, TaskSpec
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.hang_guard import HangGuard


class AlertConfigError(ProblemError):
    """A file with an alert cannot be used. The problem says why, and its help what to do."""


def read_defaults(
    on_failure: Path | None, on_recovery: Path | None, context: ParseContext, guard: HangGuard | None = None
) -> DefaultAlerts:
    """Read the files; None is a file that the settings do not name.

    Raises:
        AlertConfigError: a file is missing, is not trusted, or holds no task that can run.
        CallHung: a file does not answer.

    """
    guard = guard or HangGuard()
    return DefaultAlerts(
        on_failure=None if on_failure is None else _read_task(on_failure, context, guard),
        on_recovery=None if on_recovery is None else _read_task(on_recovery, context, guard),
    )


def _read_task(path: Path, context: ParseContext, guard: HangGuard) -> TaskSpec:
    result = guard.call(f"the file with an alert `{path}`", partial(_read_file, path))
    if result.problem is not None:
        raise AlertConfigError(replace(result.problem, file=str(path)))
    if result.raw is None:
        raise AlertConfigError(
            Problem("the file does not exist", file=str(path), help="create it, or drop the setting")
        )
    task = parse_task(result.raw, str(path), context)
    if isinstance(task, TaskSpec):
        return task
    first, *further = task
    count = (f"{len(further)} more in this file",) if further else ()
    raise AlertConfigError(replace(first, notes=(*first.notes, *count)))


def _read_file(path: Path) -> ReadResult:
    """Read a file as job files are read: its directory and the path of its links have to be trusted, too."""
    try:
        with DirectorySource(path.parent).open() as view:
            return view.read(path.name)
    except SourceUnavailable as reason:
        message = str(reason).replace("the jobs directory", "the directory", 1)
        return ReadResult(path.name, problem=Problem(message, help=reason.help))
