"""What is done outside the service's pool: one run on the calling thread, and what runs or a crash have left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from jobscheduler.model import Event, Job, Record
from jobscheduler.runner.run import RetryAfter, Runner, utc_now
from jobscheduler.tasks.command.processes import LeftoverKiller
from jobscheduler.tasks.command.reaper import REAPER


def run_once(
    job: Job,
    scheduled: datetime | None,
    record: Callable[[Record], object],
    emit: Callable[[Event], object],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Record:
    """Run a job on the calling thread, pauses between attempts included: for tests and small programs."""
    runner = Runner(record, emit, clock=clock)
    try:
        run = runner.new_run(job, scheduled)
        while isinstance(end := run.attempt(), RetryAfter):
            time.sleep(end.delay)
        assert end is not None  # noqa: S101 - nobody else knows the run, so nobody withdrew it
        return end
    finally:
        runner.close()


def kill_leftovers(run_ids: Iterable[str]) -> int:
    """End what is left of the processes of runs that were interrupted by a crash; returns how many resisted.

    Takes up to seven seconds, and no longer if there are many.
    """
    return len(LeftoverKiller(tuple(run_ids))())


def detach_output_pipes() -> None:
    """Let what runs left in the background write on undisturbed when this process ends, which it is about to do."""
    REAPER.detach()
