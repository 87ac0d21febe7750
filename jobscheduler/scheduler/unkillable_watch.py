"""Watches runs that have their record although processes of them could not be killed. They count as overlap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator

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
            runs = unkillable_runs(self._registry)
        alive = {run.run_id for run in runs if any(map(is_alive, run.unkillable))}
        with self._lock:
            unblocked = keep_unkillable_runs(self._registry, alive)
        for run in unblocked:
            self._submit(run)

    def issues(self) -> Iterator[str]:
        """Return a sentence for each such run."""
        with self._lock:
            runs = unkillable_runs(self._registry)
        for run in runs:
            processes = describe_unkillable(run.unkillable)
            yield f"processes of `{run.job.id}` survived KILL and count as its run: {processes}"


def unkillable_runs(registry: JobRegistry) -> list[Run]:
    """Return the runs that have their record although processes of them could not be killed, by job."""
    entries = [registry.jobs[job_id] for job_id in sorted(registry.jobs_with_unkillable) if job_id in registry.jobs]
    return [run for entry in entries for run in entry.unkillable_runs]


def keep_unkillable_runs(registry: JobRegistry, alive: Container[str]) -> list[Run]:
    """Keep only these runs with unkillable processes (their ids); return the queued runs that may begin now."""
    unblocked = []
    for entry in [registry.jobs[job_id] for job_id in registry.jobs_with_unkillable if job_id in registry.jobs]:
        entry.unkillable_runs = [run for run in entry.unkillable_runs if run.run_id in alive]
        if not entry.unkillable_runs:
            registry.jobs_with_unkillable.discard(entry.job.id)
            unblocked.append(entry.start_queued())
            registry.discard_if_unused(entry)
    return [run for run in unblocked if run is not None]
