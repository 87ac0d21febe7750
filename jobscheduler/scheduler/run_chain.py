"""Limits chains of runs that start each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobscheduler.model import Job
from jobscheduler.runner import Run

MAX_CHAIN_LENGTH = 8  # runs that may have started each other


class ChainTooLong(Exception):
    """The run would start itself through others, or its chain is too long; `help` has the suggestion."""

    def __init__(self, message: str, help_: str) -> None:
        super().__init__(message)
        self.help = help_


def ancestors(run: Run | None) -> Iterator[Run]:
    """Return a run, the run that started it, and so on."""
    while run is not None:
        yield run
        run = run.parent


def parent_of(within: Iterable[str], active_runs: Iterable[Run]) -> Run | None:
    """Return the innermost active run among those that a caller belongs to (their ids, the innermost first)."""
    active = {run.run_id: run for run in active_runs}
    return next((active[run_id] for run_id in within if run_id in active), None)


def check_chain(job: Job, parent: Run | None) -> None:
    """Raise `ChainTooLong` if a job must not be run from within this run."""
    chain = [run.job.id for run in ancestors(parent)]
    path = " -> ".join([*reversed(chain), job.id])
    if job.id in chain:
        help_ = "a job that is run again by what it has started would never end; give it a schedule instead"
        raise ChainTooLong(f"`{job.id}` has started this run, so it is not run again: {path}", help_)
    if len(chain) >= MAX_CHAIN_LENGTH:
        raise ChainTooLong(
            f"`{job.id}` is not run: {MAX_CHAIN_LENGTH} runs have started each other already: {path}",
            "have one job run the others in turn",
        )
