"""Schedules jobs and turns due slots into runs: the lock, the effects and the threads around the engine.

Lock: APScheduler holds its own locks while it calls `_on_due`. So ours is taken inside those, and never held around a
call to APScheduler. Log lines are queued while ours is held, which never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from jobscheduler.model import EPOCH, Job, Record, RecoveredState
from jobscheduler.runner import OutputKeeper, Run
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.claimed_starts import ClaimedStarts
from jobscheduler.scheduler.definition_changes import Phase
from jobscheduler.scheduler.drain import Drain
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.leadership import Leadership
from jobscheduler.scheduler.log_accounting import LogAccounting
from jobscheduler.scheduler.requests import SchedulerRequests
from jobscheduler.scheduler.run_actions import perform_effects
from jobscheduler.scheduler.surroundings import HOST_CLOCKS, UNNAMED_HOST, Clocks, SchedulerHost, SchedulerLog
from jobscheduler.scheduler.waker import Waker
from jobscheduler.scheduler.worker_pool import WorkerPool
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.timetable import timetable_of

LOCK_WAIT_S = 0.1  # longest wait of the main thread for the lock; it also checks that the lock is ever released


class Scheduler(SchedulerRequests):
    """Activates jobs and runs their slots. A context manager: leaving it stops.

    `leadership` lets another service decide, where several share the slots.
    """

    def __init__(
        self,
        log: SchedulerLog,
        *,
        max_workers: int,
        host: SchedulerHost = UNNAMED_HOST,
        clocks: Clocks = HOST_CLOCKS,
        standings: Standings | None = None,
        outputs: OutputKeeper | None = None,
        accounting: Accounting | None = None,
        stands_by: bool = False,
    ) -> None:
        """`standings` get the definitions and go into the checkpoints, `outputs` what runs print.

        `accounting` gets what is decided; without it the log does. `stands_by`: another service decides until
        `leadership.lead`.
        """
        waker = Waker(max_workers, self._on_due, self._warm_up)
        accounting = accounting or LogAccounting(log, host)
        pool = WorkerPool(
            waker,
            max_workers,
            record=self._finished,
            log=log,
            clock=clocks.now,
            outputs=outputs,
            accounting=accounting,
            refused=self._refused,
        )
        starts = ClaimedStarts(accounting.claims, pool.submit, self._refused)
        engine = Engine(
            new_run=pool.runner.new_run,
            submit=starts.submit,
            due_jobs=waker.due_jobs,
            accounting=accounting,
            clocks=clocks,
            host=host,
            standings=standings or Standings(clocks.elapsed),
            claim=starts.claim,
            stands_by=stands_by,
        )
        super().__init__(threading.Lock(), engine, waker, pool, clocks.now, starts.submit, host.jitter_seed)
        self._submit = starts.submit
        self._drain = Drain(self._lock, pool)
        self.leadership = Leadership(self._lock, engine, pool, starts, self, clocks.now)
        self._accounting = accounting

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(0.0)

    # -- start

    def restore(self, state: RecoveredState | None, now: datetime) -> RecoveredState | None:
        """Take over the state recovered from the log. Call it once, before the first `put`.

        Return the part that is trusted: None if the log is that of another host. Runs that a crash interrupted are
        ended and get their record. Each slot of the outage is accounted for when its job is put, until `start`.
        """
        return self._engine.recovery.restore(state, now)

    def start(self) -> None:
        """Start the scheduling thread and the runs of the outage; slots that became due since `put` follow at once.

        While the service stands by, only the thread starts.
        """
        effects = self._engine.start(self._clock())
        self._pool.warm_up()
        self._waker.start()
        self.write_checkpoint(full=True)  # contains the runs that begin now: a crash must not repeat `@reboot`
        perform_effects(effects)

    # -- jobs

    def put(self, job: Job, now: datetime, *, is_first_sync: bool = False) -> datetime | None:
        """Activate a definition for slots after `now`, and return its next slot; None if there is none.

        `is_first_sync`: the job's source was unavailable until now, so slots since the start are still undecided.
        The former definition of this id is decided up to `now` first. So an edit at the moment of a slot neither loses
        nor doubles it. Active runs go on.
        """
        self._on_due(job.id, now)
        timetable = timetable_of(job, self._seed())
        history = self._engine.recovery.history_of(job, now)
        with self._lock:
            entry, effects = self._engine.definitions.define(job, timetable, now, history, is_first_sync=is_first_sync)
        try:
            perform_effects(effects)
            upcoming = entry.next_of_enabled()
            self._waker.follow(job.id, entry.timetable, upcoming)
            return upcoming
        finally:
            with self._lock:
                self._engine.registry.being_added.discard(job.id)

    def source_changed(self, job_id: str, now: datetime) -> None:
        """Note that a job's file was rewritten or moved without a change of its definition.

        Its pending slots are logged again: a start would else take them for older than the file.
        """
        with self._lock:
            self._engine.definitions.keep_pending(job_id, now)

    def expire(self, job: Job, now: datetime) -> bool:
        """Account for a one-time job whose instant is over; return whether its slot was accounted for just now.

        A slot that is only too old because the former service was draining still runs.
        """
        recovery = self._engine.recovery
        if not recovery.has_unrecorded_slot(job, now):
            return False
        timetable = timetable_of(job, self._seed())
        if recovery.may_still_run(job, timetable, now):
            self.put(job, now)
            return True
        with self._lock:
            return recovery.miss_expired(job, timetable, now)

    def drop(self, job_id: str, now: datetime) -> None:
        """Deactivate a definition from `now` on. Active runs go on; a pending slot is missed."""
        self._on_due(job_id, now)
        self._waker.drop(job_id)
        with self._lock:
            effects = self._engine.definitions.remove(job_id, now)
        perform_effects(effects)

    # -- slots and runs

    def wakeup(self) -> None:
        """Make the scheduling thread read the clock now: it may have been set, or the host may have slept."""
        self._waker.wakeup()

    def _warm_up(self, job_id: str) -> None:
        """Run the code path of a slot shortly before it is due, to warm up caches; decide nothing before then."""
        self._pool.warm_up()
        self._on_due(job_id, EPOCH)

    def _on_due(self, job_id: str, at: datetime) -> None:
        """Decide the slots of a job that are due, and start their runs.

        `at` is the time of APScheduler's wake-up: the clock counts as no earlier than that.
        Thread: the scheduling thread, or the thread of a sync.
        """
        now = max(self._clock(), at)
        with self._lock:
            effects = self._engine.decide_due(job_id, now)
        for effect in effects:
            effect()

    def _finished(self, record: Record) -> None:
        """Write the record of a run that has ended, and start the queued run."""
        with self._lock:
            queued = self._engine.run_ended(record)
            if self._engine.phase is Phase.STOPPED:  # only `stop` waits for this
                self._drain.run_ended()
        if queued is not None:
            self._submit(queued)

    def _refused(self, run: Run) -> None:
        """Forget a run whose slot another service has, and start the queued run."""
        with self._lock:
            effects = self._engine.refused(run)
        perform_effects(effects)

    # -- the clock and the checkpoint

    def check_clock(self) -> bool:
        """Note the time; return whether the clock was set back. Call it about once a second.

        After a step back, what was decided stays decided, and all other slots are due in their turn.
        Thread: main. It also checks that the lock is ever released, so it waits only `LOCK_WAIT_S` and tries again at
        the next call.
        """
        now = self._clock()
        if not self._lock.acquire(timeout=LOCK_WAIT_S):
            return False
        try:
            rewound = self._engine.accept_clock(now)
        finally:
            self._lock.release()
        if rewound is None:
            return False
        for entry in rewound:
            self._wake_again(entry)
        self.write_checkpoint()
        return True

    def _wake_again(self, entry: JobEntry) -> None:
        """Set the wake-up of a job for the new time, unless the job was removed meanwhile."""
        self._waker.follow(entry.job.id, entry.timetable, entry.next_of_enabled())
        with self._lock:
            is_gone = not entry.is_schedulable or self._engine.registry.get(entry.job.id) is not entry
        if is_gone:
            self._waker.drop(entry.job.id)

    def write_checkpoint(self, *, full: bool = False) -> None:
        """Log up to where every slot is accounted for, and all active runs; if `full`, also the active jobs.

        It is full in any case after changes that no log line tells, and when the last full one is far away.
        """
        self.check_clock()
        with self._lock:
            self.keep_checkpoint(full=full)

    def keep_checkpoint(self, *, full: bool = False) -> None:
        """Write a checkpoint, as `write_checkpoint`. Lock: held by the caller."""
        if self._engine.phase is Phase.STANDBY:  # the leader knows, this service does not
            return
        full = full or self._accounting.wants_full
        self._accounting.checkpoint(self._engine.checkpoints.build(full=full))
        self._engine.checkpoints.written()

    # -- stop

    def stop(self, drain: float, must_end_now: Callable[[], bool] = lambda: False) -> None:
        """Start no more runs; stop the active ones after `drain` seconds, or as soon as `must_end_now` returns true.

        A slot that is pending, or due from now on, gets no record: the next start accounts for it.
        """
        with self._lock:
            if not self._engine.stop():
                return
            self._pool.close_intake()
        self._waker.stop()
        deadline = time.monotonic() + drain
        self._pool.cancel()
        self._drain.wait(deadline, must_end_now)
        self._pool.stop()
        self._drain.wait(time.monotonic() + self._pool.runner.grace + 1)
        self._pool.close()
        self._waker.close()

    def abort(self, seconds: float) -> None:
        """Stop all runs without the scheduling thread, which may hold any lock; the next start does the rest.

        Thread: one that the process can end without, because this call may wait forever.
        """
        self._engine.phase = Phase.STOPPED
        self._pool.abort(seconds)
