"""Log how the state of an item has changed: refused, stale, or good again."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.jobs.catalog import ItemState, StatusChange
from jobscheduler.jobs.parser import id_conflict
from jobscheduler.model import EventLogger, Level, Problem


def log_status_change(change: StatusChange, log_event: EventLogger, read: Callable[[str], bytes]) -> None:
    """Log one change. `read` returns the present text of an item, to show where in it an id is that is taken."""
    if change.after.state not in {ItemState.GOOD, ItemState.GONE}:
        _log_problems(change, change.after.problems or _conflict(change, read), log_event)
        return
    job_id = change.job.id if change.job else None
    how = "deleted" if change.after.state is ItemState.GONE else None
    log_event(Level.INFO, "job.mended", job_id=job_id, file=change.name, how=how)


def _log_problems(change: StatusChange, problems: tuple[Problem, ...], log_event: EventLogger) -> None:
    is_stale = change.after.state is ItemState.STALE
    first, *others = problems
    log_event(
        Level.ERROR,
        "job.stale" if is_stale else "job.refused",
        job_id=change.job.id if change.job and (is_stale or change.after.incumbent) else None,
        file=change.name,
        line=first.line,
        column=first.column,
        problem=first.message,
        help=first.help,
        also="; ".join(map(_brief, others)) or None,
    )


def _conflict(change: StatusChange, read: Callable[[str], bytes]) -> tuple[Problem, ...]:
    """Return the problem that another item has the id."""
    assert change.job is not None  # noqa: S101 - only a valid definition can lack nothing but its id
    return (id_conflict(read(change.name), change.name, change.job.id, change.after.incumbent or ""),)


def _brief(problem: Problem) -> str:
    location = f"line {problem.line}, column {problem.column}: " if problem.line else ""
    return location + problem.message
