"""Watches runs that have their record although processes of them could not be killed. They count as overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from jobscheduler.runner import Run, describe_unkillable, is_alive
from jobscheduler.scheduler.registry import JobRegistry


class UnkillableWatch:
    """Checks whether these processes have ended, and starts the runs that were queued behind them.

    Lock: the scheduler's, to copy and to change entries; never while processes are checked.
    """

    def __init__(self, lock: threading.Lock, registry: JobRegistry, submit: Callable[[Run], object]) -> None:
        self._lock = lock
        self._registry = registry
        self._submit = submit

    def check(self) -> None:
        """Forget the runs whose processes have ended, and start the runs behind them. Call it once a second."""
        if not self._registry.jobs_with_unkillable:
            return
        with self._lock:
            runs = self._registry.unkillable_runs()
        alive = {run.run_id for run in runs if any(map(is_alive, run.unkillable))}
        with self._lock:
            unblocked = self._registry.keep_unkillable_runs(alive)
        for run in unblocked:
            self._submit(run)

    def issues(self) -> Iterator[str]:
        """Return a sentence for each such run."""
        with self._lock:
            runs = self._registry.unkillable_runs()
        for run in runs:
            processes = describe_unkillable(run.unkillable)
            yield f"processes of `{run.job.id}` survived KILL and count as its run: {processes}"
