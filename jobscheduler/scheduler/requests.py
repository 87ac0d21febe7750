"""Runs jobs and stops runs at the request of people."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from jobscheduler.model import Job
from jobscheduler.runner import Run
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.queries import SchedulerQueries
from jobscheduler.scheduler.run_actions import perform_effects
from jobscheduler.scheduler.run_chain import check_chain, parent_of
from jobscheduler.scheduler.stop_actions import StoppedRun, StopTargets
from jobscheduler.scheduler.waker import Waker
from jobscheduler.scheduler.worker_pool import WorkerPool
from jobscheduler.timetable.overlap import Action
from jobscheduler.timetable.timetable import timetable_of


class SchedulerRequests(SchedulerQueries):
    """What people ask a scheduler to do with runs. Lock: taken to decide, and released before the effects."""

    def __init__(
        self,
        lock: threading.Lock,
        engine: Engine,
        waker: Waker,
        pool: WorkerPool,
        clock: Callable[[], datetime],
        submit: Callable[[Run], object],
        seed: Callable[[], str],
    ) -> None:
        """`submit` dispatches a run whose turn has come; `seed` returns what seeds `jitter`."""
        super().__init__(lock, engine, waker, pool, clock, submit)
        self._seed = seed

    def run_now(self, job: Job, by: str, within: Iterable[str] = ()) -> tuple[Action, Run | None]:
        """Run a job now, also one that is disabled, paused, done or expired; overlap counts as for a slot.

        `by` names the caller, `within` the ids of the runs that it belongs to, the innermost first. Returns the action,
        and the run unless it was skipped.

        Raises:
            RuntimeError: the service is stopping.
            ChainTooLong: the job would start itself through others, or too many have started each other.

        """
        parent = parent_of(within, self._pool.runner.active_runs)
        check_chain(job, parent)
        timetable = timetable_of(job, self._seed())
        with self._lock:
            action, run, effects = self._engine.run_now(job, timetable, by, parent, self._clock())
        perform_effects(effects)
        return action, run

    def stop_runs(self, targets: StopTargets, by: str) -> list[StoppedRun]:
        """Stop runs with their further attempts; return those that had not ended. Does not wait for their ends.

        A run that has not begun is skipped; while the service stops, it is left to the next start.
        """
        with self._lock:
            stopped, effects = self._engine.stop_runs(targets, by)
        perform_effects(effects)
        for one in stopped:
            if one.run is not None:
                self._pool.withdraw(one.run)
        return stopped
