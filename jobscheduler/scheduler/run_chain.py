"""Runs that were started from within other runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobscheduler.model import Job
from jobscheduler.runner import Run

MAX_CHAIN_LENGTH = 8
"""So many runs may have started each other, one after the other."""


class ChainTooLong(Exception):
    """A run that would start itself by way of others, or whose chain is too long; `help` says the way out."""

    def __init__(self, message: str, help_: str) -> None:
        super().__init__(message)
        self.help = help_


def ancestors(run: Run | None) -> Iterator[Run]:
    """List a run, the one that started it, and so on."""
    while run is not None:
        yield run
        run = run.parent


def parent_of(within: Iterable[str], going: Iterable[Run]) -> Run | None:
    """Return the innermost run that is going on of those that the caller carries the marks of (their ids)."""
    known = {run.run_id: run for run in going}
    return next((known[run_id] for run_id in within if run_id in known), None)


def check_chain(job: Job, parent: Run | None) -> None:
    """Raise `Endless` if a job must not be run from within this run."""
    chain = [run.job.id for run in ancestors(parent)]
    way = " -> ".join([*reversed(chain), job.id])
    if job.id in chain:
        help_ = "a job that is run again by what it has started would never end; give it a schedule instead"
        raise ChainTooLong(f"`{job.id}` has started this run, so it is not run again: {way}", help_)
    if len(chain) >= MAX_CHAIN_LENGTH:
        raise ChainTooLong(
            f"`{job.id}` is not run: {MAX_CHAIN_LENGTH} runs have started each other already: {way}",
            "have one job run the others in turn",
        )
