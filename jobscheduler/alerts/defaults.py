"""The service's own alerts: each a task in a file of its own, under the same rules as a job file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from jobscheduler.alerts.dispatcher import DefaultAlerts
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import ParseContext, parse_task
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Problem, TaskSpec
from jobscheduler.util.hang_guard import HangGuard


class AlertConfigError(Exception):
    """A file with an alert cannot be used; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_defaults(
    on_failure: Path | None, on_recovery: Path | None, rules: ParseContext, guard: HangGuard | None = None
) -> DefaultAlerts:
    """Read the files; None is a file that is not named.

    Raises:
        BadDefault: one is not there, is not trusted, or holds no task that can be run.
        Hung: one does not answer, which the guard finds out.

    """
    guard = guard or HangGuard()
    return DefaultAlerts(
        on_failure=None if on_failure is None else _task(on_failure, rules, guard),
        on_recovery=None if on_recovery is None else _task(on_recovery, rules, guard),
    )


def _task(path: Path, rules: ParseContext, guard: HangGuard) -> TaskSpec:
    found = guard.call(f"the file with an alert `{path}`", partial(_read, path))
    if found.problem is not None:
        raise AlertConfigError(replace(found.problem, file=str(path)))
    if found.raw is None:
        raise AlertConfigError(Problem("there is no such file", file=str(path), help="make it, or do not name it"))
    task = parse_task(found.raw, str(path), rules)
    if isinstance(task, TaskSpec):
        return task
    first, *rest = task
    also = (f"{len(rest)} more in this file",) if rest else ()
    raise AlertConfigError(replace(first, notes=(*first.notes, *also)))


def _read(path: Path) -> ReadResult:
    """Read a file as job files are read: its directory and the way that links lead are judged, too."""
    try:
        with DirectorySource(path.parent).open() as view:
            return view.read(path.name)
    except SourceUnavailable as reason:
        message = str(reason).replace("the jobs directory", "the directory", 1)
        return ReadResult(path.name, problem=Problem(message, help=reason.help))
