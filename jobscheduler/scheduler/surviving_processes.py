"""Runs that have their record, and of which processes live on that could not be ended."""

from __future__ import annotations

from jobscheduler.runner import Run, describe_survivors, is_alive


def has_survivors(run: Run) -> bool:
    """Tell whether processes of a run live on."""
    return any(map(is_alive, run.survivors))


def describe_surviving_run(run: Run) -> str:
    """Say in words which processes of a run live on."""
    processes = describe_survivors(run.survivors)
    return f"processes of `{run.job.id}` live on although KILL was sent, and count as its run: {processes}"
