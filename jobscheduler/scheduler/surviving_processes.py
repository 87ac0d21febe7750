"""Runs that have their record, and of which processes live on that could not be ended."""

from __future__ import annotations

from jobscheduler.runner import Run, in_one_line, lives_on


def lingers(run: Run) -> bool:
    """Tell whether processes of a run live on."""
    return any(map(lives_on, run.survivors))


def lingering_text(run: Run) -> str:
    """Say in words which processes of a run live on."""
    processes = in_one_line(run.survivors)
    return f"processes of `{run.job.id}` live on although KILL was sent, and count as its run: {processes}"
