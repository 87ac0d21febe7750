"""Lets a scheduler stand by while another service leads, and lead again.

While it stands by it knows all jobs, decides nothing, and writes no checkpoint. On leading it accounts for the gap as a
start does, from what all leaders before it have decided.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Protocol

from jobscheduler.model import Job, RecoveredState
from jobscheduler.runner import Run
from jobscheduler.scheduler.definition_changes import Phase
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.run_actions import Effect, perform_effects
from jobscheduler.scheduler.worker_pool import WorkerPool


class Startable(Protocol):
    """The part of a scheduler that a start needs."""

    def restore(self, state: RecoveredState | None, now: datetime) -> RecoveredState | None: ...  # noqa: D102
    def put(self, job: Job, now: datetime) -> datetime | None: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102


class Leadership:
    """The lead of a scheduler: taken and given up as the lease of the service says.

    Thread: one at a time, with the lock of syncs held, so that no job comes or goes meanwhile.
    """

    def __init__(self, lock: threading.Lock, engine: Engine, pool: WorkerPool, scheduler: Startable) -> None:
        self._lock = lock
        self._engine = engine
        self._pool = pool
        self._scheduler = scheduler

    def lead(self, state: RecoveredState | None, now: datetime) -> None:
        """Decide slots from now on, and account for the time before: `state` is what former leaders have decided."""
        with self._lock:
            self._engine.phase = Phase.STARTING
            jobs = self._forget_slots()
        self._scheduler.restore(state, now)
        for job in jobs:
            self._scheduler.put(job, now)
        self._scheduler.start()

    def stand_by(self) -> None:
        """Decide no more slots: another service leads.

        What has not begun is cancelled without a record, and the new leader decides about it. Runs that have begun go
        on with their present attempt: whether there is another one is the leader's decision.
        """
        with self._lock:
            self._engine.phase = Phase.STANDBY
            self._engine.recovery.forget()
            cancelled, effects = self._let_go()
        perform_effects(effects)
        for run in cancelled:
            self._pool.withdraw(run)

    def _forget_slots(self) -> list[Job]:
        """Forget the jobs and what is decided of them, since others have led; return the active ones.

        An entry with a run at work stays, so that its job overlaps with that run.
        """
        registry = self._engine.registry
        active = [entry for entry in registry.jobs.values() if entry.is_active]
        for entry in active:
            entry.is_active = False
            registry.discard_if_unused(entry)
        registry.memory.clear()
        return [entry.job for entry in active]

    def _let_go(self) -> tuple[list[Run], list[Effect]]:
        """Cancel what has not begun; return it, and the effects on what has."""
        cancelled: list[Run] = []
        effects: list[Effect] = []
        for entry in list(self._engine.registry.jobs.values()):
            cancelled += _cancel(entry)
            effects += [run.end_attempts for run in entry.active_runs]
            self._engine.registry.discard_if_unused(entry)
        return cancelled, effects


def _cancel(entry: JobEntry) -> list[Run]:
    """Cancel the runs of a job that have not begun, and return them; the others stay with it."""
    waiting = [] if entry.queued_run is None else [entry.queued_run]
    entry.queued_run = None
    cancelled = [run for run in (*entry.active_runs, *waiting) if run.cancel()]
    entry.active_runs = [run for run in entry.active_runs if run not in cancelled]
    return cancelled
