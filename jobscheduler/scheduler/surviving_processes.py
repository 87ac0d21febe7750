"""Describes runs that have their record although processes of them could not be killed."""

from __future__ import annotations

from jobscheduler.runner import Run, describe_survivors, is_alive


def has_survivors(run: Run) -> bool:
    """Return whether processes of a run are still alive."""
    return any(map(is_alive, run.survivors))


def describe_surviving_run(run: Run) -> str:
    """Return a sentence about the surviving processes of a run."""
    processes = describe_survivors(run.survivors)
    return f"processes of `{run.job.id}` survived KILL and count as its run: {processes}"
