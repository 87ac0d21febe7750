"""Lets a scheduler stand by while another service decides, and decide again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from datetime import datetime
from typing import Protocol

from jobscheduler.model import Job, RecoveredState
from jobscheduler.runner import Run
from jobscheduler.scheduler.claimed_starts import ClaimedStarts
from jobscheduler.scheduler.definition_changes import Phase
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.run_actions import Effect, perform_effects
from jobscheduler.scheduler.worker_pool import WorkerPool


class Startable(Protocol):
    """The methods of a scheduler with which it accounts for the time before it decides."""

    def put(self, job: Job, now: datetime) -> object:
        """Activate a job."""

    def expire(self, job: Job, now: datetime) -> object:
        """Account for a one-time job that is over."""

    def write_checkpoint(self, *, full: bool) -> object:
        """Write a checkpoint."""

    def keep_checkpoint(self) -> object:
        """Write a checkpoint. Lock: held by the caller."""


class Leadership:
    """Whether this service decides.

    1. A service that stands by is loaded: its jobs are put and dropped as its files change, and are not due.
    2. When it leads, it puts all jobs again, as a start does. So what the leader before did not decide is decided now.
    3. When another one leads, it begins nothing more. Its runs at work go on, and their records count.

    Lock: the scheduler's.
    """

    def __init__(
        self,
        lock: threading.Lock,
        engine: Engine,
        pool: WorkerPool,
        starts: ClaimedStarts,
        scheduler: Startable,
        clock: Callable[[], datetime],
    ) -> None:
        """`starts` has the runs that wait for their slots."""
        self._lock = lock
        self._engine = engine
        self._pool = pool
        self._starts = starts
        self._scheduler = scheduler
        self._clock = clock
        self._stands_by = engine.phase is Phase.STANDBY

    @property
    def decides(self) -> bool:
        """Whether this service decides, as far as it knows."""
        return self._engine.phase in (Phase.STARTING, Phase.RUNNING)

    @property
    def stands_by(self) -> bool:
        """Whether another service decides, also while this one stops: that one tells the runs that end here."""
        return self._stands_by

    def stand_by(self) -> None:
        """Let another service decide. Waits for nothing but the lock.

        Runs at work go on, with further attempts. Runs that have not begun are cancelled without a record, because the
        next leader decides about them.
        """
        self._give_way(with_checkpoint=False)

    def hand_over(self) -> None:
        """Let another service decide, which finds in a last checkpoint how all stands at this very moment.

        So each alert is given by one of the two services. Otherwise this is `stand_by`.
        """
        self._give_way(with_checkpoint=True)

    def _give_way(self, *, with_checkpoint: bool) -> None:
        with self._lock:
            if with_checkpoint:
                self._scheduler.keep_checkpoint()
            self._stands_by = True
            cancelled = self._engine.stand_by(self._pool.beginning)
        self._starts.forget()
        for run in cancelled:
            self._pool.withdraw(run)

    def lead(self, state: RecoveredState | None, now: datetime, over: Iterable[Job] = ()) -> None:
        """Decide from now on, and account for the time since `state`, which was read while no other service led.

        `over` are the one-time jobs that are expired here: their instants may have come while no service led.
        Thread: one beside which no sync runs, as in `Reconciler.lead`.

        Raises:
            RuntimeError: the service does not stand by.

        """
        with self._lock:  # nothing that people ask for falls between the two
            jobs = self._engine.begin_to_lead()
            self._stands_by = False
            self._engine.recovery.restore(state, now)
        for job in jobs:
            self._scheduler.put(job, now)
        for job in over:
            self._scheduler.expire(job, now)
        with self._lock:
            effects: list[Effect] = self._engine.start(self._clock())
        self._scheduler.write_checkpoint(full=True)
        perform_effects(effects)

    def end_runs(self, reason: str) -> None:
        """End the runs at work, because this service has had no answer for so long that others take them for lost."""
        self._pool.runner.stop(reason)

    def keep_elsewhere(self, at_work: Container[str]) -> None:
        """Note which runs of other services are still at work, by their ids: the others have ended.

        Call it again and again while this service leads. A call too many, or one with old news, does no harm.
        """
        with self._lock:
            unblocked: list[Run] = self._engine.keep_elsewhere(at_work)
        for run in unblocked:
            self._starts.submit(run)
