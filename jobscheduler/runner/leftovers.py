"""Work outside the worker pool: a run on the calling thread, and processes and pipes that runs left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime

from jobscheduler.model import Event, Job, Record
from jobscheduler.runner.run_state import RetryAfter
from jobscheduler.runner.runner import Runner
from jobscheduler.tasks.command.processes import LeftoverKiller
from jobscheduler.tasks.command.reaper import REAPER
from jobscheduler.util.instants import utc_now


def run_once(
    job: Job,
    scheduled: datetime | None,
    record: Callable[[Record], object],
    emit: Callable[[Event], object],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Record:
    """Run a job on the calling thread, with the pauses between its attempts. For tests and small programs."""
    runner = Runner(record, emit, clock=clock)
    try:
        run = runner.new_run(job, scheduled)
        while isinstance(end := run.attempt(), RetryAfter):
            time.sleep(end.delay)
        assert end is not None  # noqa: S101 - no other thread knows the run or can cancel it
        return end
    finally:
        runner.close()


def kill_leftovers(run_ids: Iterable[str]) -> int:
    """End the processes of runs that a crash interrupted. Return how many could not be ended.

    Takes up to seven seconds in all, for any number of processes.
    """
    return len(LeftoverKiller(tuple(run_ids))())


def detach_output_pipes() -> None:
    """Keep the output pipes of background processes open beyond the end of this process, which is near."""
    REAPER.pipes.detach()
