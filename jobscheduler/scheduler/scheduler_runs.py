"""Answers questions about runs and their workers, and watches them; changes no job."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobscheduler.runner import Attempt, Run, describe_unkillable
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.stuck_runs import STUCK_AFTER_CHECKS
from jobscheduler.scheduler.unkillable_watch import UnkillableWatch
from jobscheduler.scheduler.worker_pool import WorkerPool


class SchedulerRuns:
    """The runs of a scheduler as other parts of the service see them.

    Lock: the scheduler's, only to copy entries.
    """

    def __init__(
        self, lock: threading.Lock, registry: JobRegistry, pool: WorkerPool, submit: Callable[[Run], object]
    ) -> None:
        """`submit` dispatches a run whose turn has come."""
        self._lock = lock
        self._registry = registry
        self._pool = pool
        self._unkillable = UnkillableWatch(lock, registry, submit)

    def check(self, now: float) -> None:
        """Check for runs that wait for long, stand still or have ended at last. Call it once a second (monotonic)."""
        self._pool.check(now)
        self._unkillable.check()

    def active(self, run_id: str) -> Run | None:
        """Return the run of this id if it has no record yet."""
        return self._pool.runner.active_run(run_id)

    def running_attempts(self) -> list[Attempt]:
        """Return the attempts that have not ended."""
        attempts = [run.running_attempt for run in self._pool.runner.active_runs]
        return [attempt for attempt in attempts if attempt is not None]

    def count(self) -> int:
        """Return the number of active runs, queued ones included."""
        return len(self._pool.runner.active_runs)

    def queued(self) -> int:
        """Return the number of runs that wait for a worker."""
        return self._pool.queued()

    def lost_threads(self) -> int:
        """Return the number of pool threads held by tasks that ignored their stop request."""
        return self._pool.runner.lost

    def issues(self) -> tuple[str, ...]:
        """Return a sentence for each issue with runs."""
        return (*self._pool.monitor.issues(), *self._unkillable.issues())

    def unkillable_processes(self, job_id: str) -> str:
        """Describe the processes of ended runs of a job that could not be killed; empty if there are none."""
        with self._lock:
            entry = self._registry.get(job_id)
            runs = [] if entry is None else list(entry.unkillable_runs)
        return ", ".join(describe_unkillable(run.unkillable) for run in runs)

    def stuck_run(self) -> str | None:
        """Return a sentence about the step of a run that is overdue, if there is one."""
        longest = self._pool.monitor.stuck_run
        return None if longest is None else str(longest.step)

    def is_stuck(self) -> bool:
        """Return whether a step is overdue for so long that only a new process helps."""
        longest = self._pool.monitor.stuck_run
        return longest is not None and longest.checks >= STUCK_AFTER_CHECKS
