"""Lets a scheduler stand by while another service decides, and decide again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from datetime import datetime
from typing import Protocol

from jobscheduler.model import Job, RecoveredState
from jobscheduler.scheduler.definition_changes import Phase
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.run_actions import perform_effects
from jobscheduler.scheduler.worker_pool import WorkerPool


class WriteCheckpoint(Protocol):
    """Writes a checkpoint, as the scheduler does."""

    def __call__(self, *, full: bool) -> object:
        """Write one; if `full`, with the active jobs."""


class Leadership:
    """Whether this service decides. At first it does; one of several stands by before its first `put`.

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
        forget_claims: Callable[[], object],
        *,
        put: Callable[[Job, datetime], object],
        expire: Callable[[Job, datetime], object],
        write_checkpoint: WriteCheckpoint,
        clock: Callable[[], datetime],
    ) -> None:
        """`put` and `expire` are those of `Scheduler`; `forget_claims` forgets the runs that wait for an answer."""
        self._lock = lock
        self._engine = engine
        self._pool = pool
        self._forget_claims = forget_claims
        self._put = put
        self._expire = expire
        self._write_checkpoint = write_checkpoint
        self._clock = clock

    @property
    def decides(self) -> bool:
        """Whether this service decides, as far as it knows."""
        return self._engine.phase in (Phase.STARTING, Phase.RUNNING)

    def stand_by(self) -> None:
        """Let another service decide. Waits for nothing but the lock.

        Runs at work go on, with further attempts. Runs that have not begun are cancelled without a record, because the
        next leader decides about them.
        """
        with self._lock:
            cancelled = self._engine.stand_by(self._pool.beginning)
        self._forget_claims()
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
            self._engine.recovery.restore(state, now)
        for job in jobs:
            self._put(job, now)
        for job in over:
            self._expire(job, now)
        with self._lock:
            effects = self._engine.start(self._clock())
        self._write_checkpoint(full=True)
        perform_effects(effects)

    def end_runs(self, reason: str) -> None:
        """End the runs at work, because this service has had no answer for so long that others take them for lost."""
        self._pool.runner.stop(reason)

    def keep_elsewhere(self, at_work: Container[str]) -> None:
        """Note which runs of other services are still at work, by their ids: the others have ended.

        Call it again and again while this service leads. A call too many, or one with old news, does no harm.
        """
        with self._lock:
            effects = self._engine.keep_elsewhere(at_work)
        perform_effects(effects)
