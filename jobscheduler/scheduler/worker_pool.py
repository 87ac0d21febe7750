"""Worker pool: starts the runs whose turn it is, schedules retries, and shuts everything down.

The process loop, one thread, runs all commands and waits for none of them. The threads of the pool run all other tasks.
Together they are `max_workers` workers. A run without a worker is late, never dropped. A worker that a task holds for
good is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from jobscheduler.model import Record
from jobscheduler.runner import OutputKeeper, ProcessLoop, RetryAfter, Run, Runner, runs_as_process
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.begin_requests import BeginRequests
from jobscheduler.scheduler.intake import Intake
from jobscheduler.scheduler.lost_workers import LostWorkers
from jobscheduler.scheduler.overdue_steps import OverdueSteps
from jobscheduler.scheduler.pool_monitor import PoolMonitor
from jobscheduler.scheduler.retries import Retries
from jobscheduler.scheduler.run_queue import RunQueue
from jobscheduler.scheduler.surroundings import SchedulerLog
from jobscheduler.scheduler.waker import Waker
from jobscheduler.status.snapshot import ActiveRun

WORKER_LOST = "worker_lost"  # the reason of a run that another service has decided about


class WorkerPool:
    """Starts each run on a worker, and ends what runs.

    `waker` has the threads, `runner` the active runs, and `monitor` watches all of it. `beginning` has the runs that
    wait for leave to begin.
    """

    def __init__(
        self,
        waker: Waker,
        max_workers: int,
        *,
        record: Callable[[Record], object],
        log: SchedulerLog,
        clock: Callable[[], datetime],
        outputs: OutputKeeper | None = None,
        accounting: Accounting | None = None,
        refused: Callable[[Run], object] = lambda _: None,
    ) -> None:
        """`record` gets the record of each run, `log` its events and those of the pool, `outputs` what it prints.

        `accounting` gives runs leave to begin, and gets the records of manual runs that a stop cancels; without it the
        log does. `refused` gets runs that must not begin, cancelled or not.
        """
        self._waker = waker
        self._queue = RunQueue(max_workers)
        self._intake = Intake(log.write if accounting is None else accounting.record, clock)
        self._lost_workers = LostWorkers(waker, self._queue, log.write, clock)
        self.beginning = BeginRequests(
            None if accounting is None else accounting.claims, self._hand_over, self._may_not_begin
        )
        self._refused = refused
        self.runner = Runner(
            record,
            log.write,
            clock=clock,
            announce=log.log_then,
            on_behind=log.on_behind,
            on_lost=self._lost_changed,
            outputs=outputs,
        )
        self._retries = Retries(self.runner.timer, self.submit)
        self._process_loop = ProcessLoop(self.runner.log, self._attempt_ended, waker.submit)
        answers, may_wait = self._process_loop.answers, self.beginning.__contains__
        steps = OverdueSteps(self._queue, self.runner, self._retries.items, answers, waker.is_short, may_wait)
        self.monitor = PoolMonitor(self._queue, max_workers, overdue=steps.find, write=log.write, clock=clock)

    def warm_up(self) -> None:
        """Prepare for a run, so that it need not wait for a new thread, or for one that slept long."""
        self._process_loop.warm_up()

    def queued(self) -> int:
        """Return the number of runs that wait for a worker."""
        return len(self._queue)

    def submit(self, run: Run) -> None:
        """Start a run as soon as a worker is free. A run that waits for one is late, not missed."""
        if self._intake.is_closed and self._intake.cancel(run):
            return
        self._queue.put(run)
        self._dispatch()

    def _dispatch(self) -> None:
        while (run := self._queue.take()) is not None:
            self._start(run)

    def _start(self, run: Run) -> None:
        if self._intake.is_closed and self._intake.cancel(run):  # no record: the next start accounts for its slot
            self._queue.release(run)
            return
        self.beginning.begin(run)

    def _may_not_begin(self, run: Run) -> None:
        """Free the worker of a run whose slot another service has taken. One that has begun ends: it is lost here."""
        self._queue.release(run)
        if run.attempts:
            run.stop(WORKER_LOST)
        else:
            self._refused(run)
        self._dispatch()

    def _hand_over(self, run: Run) -> None:
        """Give a run to the process loop, or to a thread of the pool."""
        try:
            if not self._try_process_loop(run):
                self._waker.submit(partial(self._work, run))
        except RuntimeError:  # the host refuses a thread, or the service has stopped
            self._queue.release(run)
            if self._intake.is_closed and self._intake.cancel(run):
                self.beginning.never_began(run)
            else:
                run.stop("shutdown" if self._intake.is_closed else "start")

    def _try_process_loop(self, run: Run) -> bool:
        """Hand a run to the process loop; return whether that was possible."""
        if not runs_as_process(run.job.task):
            return False
        try:
            self._process_loop.submit(run)
        except (OSError, RuntimeError):  # no descriptor or thread left; a thread of the pool may be free
            return False
        return True

    def _work(self, run: Run) -> None:
        self._attempt_ended(run, run.attempt())

    def _attempt_ended(self, run: Run, result: Record | RetryAfter | None) -> None:
        if isinstance(result, RetryAfter):
            self._retries.add(run, result.delay)
        elif not run.attempts:
            self.beginning.never_began(run)
        self._queue.release(run)
        self._dispatch()

    def withdraw(self, run: Run) -> None:
        """Let a run that was stopped or skipped wait no longer, for a worker or for its next attempt."""
        self._retries.discard(run)
        self._queue.withdraw(run)

    def describe(self, run: Run) -> ActiveRun:
        """Return the state of an active run that does not wait for its turn."""
        waiting_for = "worker" if run in self._queue else "retry" if run in self._retries else None
        return ActiveRun(run.run_id, run.scheduled, run.started_at, max(1, run.attempts), waiting_for, run.pid)

    def check(self, now: float) -> None:
        """Replace a process loop that hangs, and watch the runs. Call it once a second, with monotonic seconds."""
        self._process_loop.replace_if_hung(now)
        self.monitor.check(now)

    def _lost_changed(self) -> None:
        self._lost_workers.update(lambda: self.runner.lost)
        self._dispatch()

    # -- the end

    def close_intake(self) -> None:
        """Begin no further run or attempt; a run that waits for a worker is cancelled when its turn comes."""
        self._intake.close()

    def cancel(self) -> None:
        """Cancel runs that have not begun, stop those between two attempts, and make running attempts the last."""
        for run in self.runner.active_runs:
            if self._intake.cancel(run):
                continue
            if run.waits_for_attempt:
                run.stop("shutdown")
            else:
                run.end_attempts()

    def stop(self) -> None:
        """Stop all active runs; do not wait for them."""
        self.runner.stop("shutdown")

    def close(self) -> None:
        """End the process loop and the runner."""
        self._process_loop.close()
        self.runner.close()

    def abort(self, seconds: float) -> None:
        """Stop all runs, and wait up to `seconds` for their ends. Lock: none that a stuck thread may hold."""
        self.close_intake()
        self.stop()
        deadline = time.monotonic() + seconds
        while self.runner.active_runs and time.monotonic() < deadline:
            time.sleep(0.02)
