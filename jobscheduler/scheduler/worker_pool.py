"""Worker pool: starts the runs whose turn it is, schedules retries, and shuts everything down.

The process loop, one thread, runs all commands and waits for none of them. The threads of the pool run all other tasks.
Together they are `max_workers` workers. A run without a worker is late, never dropped. A worker that a task holds for
good is replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from jobscheduler.model import Event, Job, Level, LogEntry, LogFields, Record
from jobscheduler.runner import LogThen, OutputKeeper, ProcessLoop, RetryAfter, Run, Runner, runs_as_process
from jobscheduler.scheduler.overdue_steps import OverdueSteps
from jobscheduler.scheduler.pool_monitor import PoolMonitor
from jobscheduler.scheduler.records import cancelled_record
from jobscheduler.scheduler.run_queue import RunQueue
from jobscheduler.scheduler.waker import Waker
from jobscheduler.status.snapshot import ActiveRun


class WorkerPool:
    """Starts each run on a worker, and ends what runs. `waker` has the threads, `monitor` watches all of it."""

    def __init__(
        self,
        waker: Waker,
        max_workers: int,
        *,
        record: Callable[[Record], object],
        write: Callable[[LogEntry], object],
        log_then: LogThen | None,
        on_behind: Callable[[], object],
        clock: Callable[[], datetime],
        outputs: OutputKeeper | None = None,
    ) -> None:
        """`record` gets the record of each run, `write` its events and those of the pool, `outputs` what it prints."""
        self._waker = waker
        self._write = write
        self._clock = clock
        self._runner = Runner(
            record,
            write,
            clock=clock,
            announce=log_then,
            on_behind=on_behind,
            on_lost=self._lost_changed,
            outputs=outputs,
        )
        self._process_loop = ProcessLoop(self._runner.log, self._attempt_ended, waker.submit)
        self._queue = RunQueue(max_workers)
        self._retries: dict[Run, float] = {}
        overdue = OverdueSteps(
            self._queue,
            self._runner,
            commands_answer=self._process_loop.answers,
            retries=lambda: tuple(self._retries.items()),
            is_short=waker.is_short,
        )
        self.monitor = PoolMonitor(self._queue, max_workers, overdue=overdue.find, write=write, clock=clock)
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._stopping = False

    def warm_up(self) -> None:
        """Prepare for a run, so that it need not wait for a new thread, or for one that slept long."""
        self._process_loop.warm_up()

    @property
    def active_runs(self) -> tuple[Run, ...]:
        """The runs without a record, queued ones included."""
        return self._runner.active_runs

    def active_run(self, run_id: str) -> Run | None:
        """Return the run of this id if it has no record yet."""
        return self._runner.active_run(run_id)

    def queued(self) -> int:
        """Return the number of runs that wait for a worker."""
        return len(self._queue)

    def lost(self) -> int:
        """Return the number of threads held by tasks that ignored their stop request."""
        return self._runner.lost

    def begin(self, job: Job, scheduled: datetime | None, extra: LogFields = (), parent: Run | None = None) -> Run:
        """Create the run of a slot, or a manual run without a slot; it is active from now on, and to be submitted.

        `parent` is the run that asked for it, and may lend it its worker.
        """
        return self._runner.new_run(job, scheduled, extra, parent)

    def submit(self, run: Run) -> None:
        """Start a run as soon as a worker is free. A run that waits for one is late, not missed."""
        self._retries.pop(run, None)
        if self._stopping and self._cancel(run):
            return
        self._queue.put(run)
        self._dispatch()

    def _dispatch(self) -> None:
        while (run := self._queue.take()) is not None:
            self._start(run)

    def _start(self, run: Run) -> None:
        if self._stopping and self._cancel(run):  # no record: the next start accounts for its slot
            self._queue.release(run)
            return
        try:
            if not self._try_process_loop(run):
                self._waker.submit(partial(self._work, run))
        except RuntimeError:  # the host refuses a thread, or the service has stopped
            self._queue.release(run)
            if not self._stopping or not self._cancel(run):
                run.stop("shutdown" if self._stopping else "start")

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
            due = time.monotonic() + result.delay
            self._retries[run] = due
            self._runner.timer.call_at(due, partial(self.submit, run))
        self._queue.release(run)
        self._dispatch()

    def withdraw(self, run: Run) -> None:
        """Let a run that was stopped or skipped wait no longer, for a worker or for its next attempt."""
        self._retries.pop(run, None)
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
        """Replace each lost thread and log it.

        Lock: its own, so that an older count does not overwrite a newer one.
        """
        with self._lost_lock:
            before, self._lost = self._lost, self._runner.lost
            self._waker.set_extra_workers(self._lost)
            self._queue.allow_extra_workers(self._lost)
            if self._lost > before:
                self._write(Event(self._clock(), Level.WARNING, "pool.lost", (("lost", self._lost),)))
        self._dispatch()

    # -- the end

    @property
    def grace(self) -> float:
        """Seconds in which a task must end after its stop request."""
        return self._runner.grace

    def close_intake(self) -> None:
        """Begin no further run or attempt; a run that waits for a worker is cancelled when its turn comes."""
        self._stopping = True

    def _cancel(self, run: Run) -> bool:
        """Cancel a run that has not begun; return whether it had not.

        The next start accounts for its slot; a manual run gets its record now.
        """
        was_cancelled = run.is_cancelled
        if not run.cancel():
            return False
        if run.scheduled is None and not was_cancelled:
            self._write(cancelled_record(run, "shutdown", self._clock()))
        return True

    def cancel(self) -> None:
        """Cancel runs that have not begun, stop those between two attempts, and make running attempts the last."""
        for run in self._runner.active_runs:
            if self._cancel(run):
                continue
            if run.waits_for_attempt:
                run.stop("shutdown")
            else:
                run.end_attempts()

    def stop(self) -> None:
        """Stop all active runs; do not wait for them."""
        self._runner.stop("shutdown")

    def close(self) -> None:
        """End the process loop and the runner."""
        self._process_loop.close()
        self._runner.close()

    def abort(self, seconds: float) -> None:
        """Stop all runs, and wait up to `seconds` for their ends. Lock: none that a stuck thread may hold."""
        self.close_intake()
        self.stop()
        deadline = time.monotonic() + seconds
        while self._runner.active_runs and time.monotonic() < deadline:
            time.sleep(0.02)
