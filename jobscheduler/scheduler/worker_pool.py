"""Worker pool: dispatches queued runs within the capacity, schedules retries, and shuts everything down.

The process loop, one thread, runs all commands and waits for none of them. The threads of the pool run all other tasks.
Both share `max_workers` places. A run without a place is late, never dropped. A place that a task holds for good is
replaced.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import starmap

from jobscheduler.model import Event, Job, Level, LogEntry, LogFields, Record
from jobscheduler.runner import LogThen, OutputCache, ProcessLoop, RetryAfter, Run, Runner, runs_as_process
from jobscheduler.scheduler.capacity import Capacity
from jobscheduler.scheduler.records import cancelled_record
from jobscheduler.scheduler.standstill import Overdue, Standstill, StandstillGuard
from jobscheduler.scheduler.waker import Waker
from jobscheduler.status.snapshot import ActiveRun

STANDSTILL_CHECKS = 60  # checks, a second apart, without the end of a run while others wait; then it is an issue
BACKLOG_WARNING_S = 1.0  # seconds that a run may wait for a worker before a warning


class WorkerPool:
    """The places for runs, and the runs that wait for one or have one. `waker` has the threads."""

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
    ) -> None:
        """`record` gets the record of each run, `write` its events and those of the pool."""
        self._waker = waker
        self._workers = max_workers
        self._capacity = Capacity(max_workers)
        self._write = write
        self._clock = clock
        self._runner = Runner(
            record, write, clock=clock, announce=log_then, on_behind=on_behind, on_lost=self._lost_changed
        )
        self._process_loop = ProcessLoop(self._runner.log, self._done, waker.submit)
        self._lock = threading.Lock()
        self._handed: dict[Run, int] = {}
        self._guard = StandstillGuard()
        self._retries: dict[Run, float] = {}
        self._queued: OrderedDict[Run, float] = OrderedDict()
        self._nested: OrderedDict[Run, str] = OrderedDict()
        self._moves = 0
        self._moved = (0, 0)
        self._reported_full = False
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

    @property
    def outputs(self) -> OutputCache:
        """The output of the latest runs."""
        return self._runner.outputs

    def queued(self) -> int:
        """Return the number of runs that wait for a worker."""
        return len(self._queued)

    def lost(self) -> int:
        """Return the number of threads held by tasks that ignored their stop request."""
        return self._runner.lost

    def begin(self, job: Job, scheduled: datetime | None, extra: LogFields = (), parent: Run | None = None) -> Run:
        """Create the run of a slot, or a manual run without a slot; it is active from now on, and to be submitted.

        `parent` is the run that asked for it, and may lend it its place.
        """
        return self._runner.new_run(job, scheduled, extra, parent)

    def submit(self, run: Run) -> None:
        """Start a run as soon as there is a place for it. A run that waits for a place is late, not missed."""
        self._retries.pop(run, None)
        if self._stopping and self._cancel(run):
            return
        with self._lock:
            self._queued[run] = time.monotonic()
            if run.parent is not None:
                self._nested[run] = run.parent.run_id
        self._dispatch()

    def _dispatch(self) -> None:
        while (run := self._next()) is not None:
            self._start(run)

    def _next(self) -> Run | None:
        """Take the run that has waited longest, among those with a place."""
        with self._lock:
            if not self._queued:
                return None
            if self._capacity.has_room():
                run = self._queued.popitem(last=False)[0]
                self._capacity.acquire(run.run_id)
            else:
                nested = next((run for run, parent in self._nested.items() if self._capacity.can_lend(parent)), None)
                if nested is None:
                    return None
                run = nested
                del self._queued[run]
                self._capacity.borrow(run.run_id, self._nested[run])
            if self._nested:
                self._nested.pop(run, None)
            self._handed[run] = run.begun_attempts
            return run

    def _start(self, run: Run) -> None:
        if self._stopping and self._cancel(run):  # no record: the next start accounts for its slot
            self._release(run)
            return
        try:
            if not self._try_process_loop(run):
                self._waker.submit(partial(self._work, run))
        except RuntimeError:  # the host refuses a thread, or the service has stopped
            self._release(run)
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
        self._done(run, run.attempt())

    def _done(self, run: Run, result: Record | RetryAfter | None) -> None:
        if isinstance(result, RetryAfter):
            due = time.monotonic() + result.delay
            self._retries[run] = due
            self._runner.timer.call_at(due, partial(self.submit, run))
        self._release(run)
        self._dispatch()

    def _release(self, run: Run) -> None:
        with self._lock:
            self._moves += 1
            self._handed.pop(run, None)
            self._capacity.release(run.run_id)

    def describe(self, run: Run) -> ActiveRun:
        """Return the state of an active run that does not wait for its turn."""
        waiting_for = "worker" if run in self._queued else "retry" if run in self._retries else None
        return ActiveRun(run.run_id, run.scheduled, run.started_at, max(1, run.attempts), waiting_for)

    def check(self, now: float) -> None:
        """Log, once until it is over, that runs wait long for a worker, or stand still.

        Call it once a second, with monotonic seconds.
        """
        self._process_loop.replace_if_hung(now)
        with self._lock:
            waiting, since = len(self._queued), next(iter(self._queued.values()), now)
            checks = self._moved[1] + 1 if waiting and self._moved[0] == self._moves else 0
            self._moved = self._moves, checks
        if not waiting:
            self._reported_full = False
        elif not self._reported_full and now - since > BACKLOG_WARNING_S:
            self._reported_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", waiting),)))
        self._check_standstill(now)

    def _check_standstill(self, now: float) -> None:
        at = self._clock()
        previous = self._guard.longest
        late = self._guard.check([*self._not_begun(), *starmap(Overdue, self._runner.overdue(now))], at)
        if late is not None:
            self._write(Event(at, Level.ERROR, "runner.stuck", _standstill_fields(late)))
        elif previous is not None and self._guard.longest is None:
            self._write(Event(at, Level.INFO, "runner.moved", _standstill_fields(previous)))

    def _not_begun(self) -> Iterator[Overdue]:
        """Return the oldest command, and the oldest other run, that were handed over and have not begun."""
        with self._lock:
            handed = list(self._handed.items())
        waiting = [
            run for run, begun in handed if run.begun_attempts == begun and run.record is None and not run.is_cancelled
        ]
        commands = [run for run in waiting if runs_as_process(run.job.task)]
        others = [] if self._waker.is_short() else [run for run in waiting if not runs_as_process(run.job.task)]
        for run in (*commands[:1], *others[:1]):
            yield Overdue(run.job.id, run.run_id, "it was handed over and has not begun")

    @property
    def standstill(self) -> Standstill | None:
        """The step of a run that is overdue for longest, if one is late."""
        return self._guard.longest

    def issues(self) -> Iterator[str]:
        """Return a sentence if all workers are busy for long."""
        waiting, (_, checks) = len(self._queued), self._moved
        if waiting and checks >= STANDSTILL_CHECKS:
            yield (
                f"all {self._workers} workers are busy, {waiting} runs wait for one, and none has ended for {checks} s "
                "(`jobscheduler list` shows what runs; `--max-workers` allows more)"
            )

    def _lost_changed(self) -> None:
        """Replace each lost thread and log it.

        Lock: its own, so that an older count does not overwrite a newer one.
        """
        with self._lost_lock:
            before, self._lost = self._lost, self._runner.lost
            self._waker.set_extra_workers(self._lost)
            with self._lock:
                self._capacity.maximum = self._workers + self._lost
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


def _standstill_fields(late: Standstill) -> LogFields:
    """Return the log fields of a standstill."""
    due = late.due
    return (("job_id", due.job_id), ("run_id", due.run_id), ("problem", due.missing), ("since", late.since))
