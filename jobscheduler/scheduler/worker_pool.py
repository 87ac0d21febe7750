"""Who carries out runs: handing runs out, trying again after a pause, and ending all of it.

Commands are carried out by one thread, which waits for none of them, all else by the threads of the pool; together
they have so many places. A run that has to wait for one is late and never dropped. A place that a task does not give
back is replaced.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import starmap

from jobscheduler.model import Event, Job, Level, LogEntry, LogValue, Record
from jobscheduler.runner import LogThen, OutputCache, ProcessLoop, RetryAfter, Run, Runner, runs_as_process
from jobscheduler.scheduler.capacity import Capacity
from jobscheduler.scheduler.job_entry import cancelled_record
from jobscheduler.scheduler.standstill import Overdue, Standstill, StandstillGuard
from jobscheduler.scheduler.waker import Waker
from jobscheduler.status.snapshot import ActiveRun

STANDSTILL_CHECK_S = 60
"""So many looks, a second apart, no run may have ended while others wait for a worker before that is an issue."""

BACKLOG_WARNING_S = 1.0
"""How long runs may wait for a worker before the log says so, in seconds."""

Pairs = tuple[tuple[str, LogValue], ...]


class WorkerPool:
    """The workers, and the runs that are in their hands. `wakes` has the pool of threads."""

    def __init__(
        self,
        waker: Waker,
        places: int,
        *,
        record: Callable[[Record], object],
        write: Callable[[LogEntry], object],
        announce: LogThen | None,
        on_behind: Callable[[], object],
        clock: Callable[[], datetime],
    ) -> None:
        """`record` gets the record of each run, `write` its events and what is to be said of the crew itself."""
        self._waker = waker
        self._workers = places
        self._capacity = Capacity(places)
        self._write = write
        self._clock = clock
        self._runner = Runner(
            record, write, clock=clock, announce=announce, on_behind=on_behind, on_lost=self._lost_changed
        )
        self._process_loop = ProcessLoop(self._runner, self._done, waker.submit)
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
        """Get ready for a run: it is not to wait for a thread to be made, or to be woken up from a long sleep."""
        self._process_loop.warm_up()

    @property
    def active_runs(self) -> tuple[Run, ...]:
        """The runs that have no record yet, waiting ones included."""
        return self._runner.active_runs

    @property
    def outputs(self) -> OutputCache:
        """What the latest runs printed."""
        return self._runner.outputs

    def queued(self) -> int:
        """How many runs wait for a worker."""
        return len(self._queued)

    def lost(self) -> int:
        """How many threads are held by tasks that did not end when told to."""
        return self._runner.lost

    def begin(self, job: Job, scheduled: datetime | None, extra: Pairs = (), parent: Run | None = None) -> Run:
        """Make the run of a slot, or one by hand without a slot; it goes on from now, and waits to be submitted.

        `parent` is the run from within which it was asked for; it may work in the place of that one.
        """
        return self._runner.new_run(job, scheduled, extra, parent)

    def submit(self, run: Run) -> None:
        """Have a run carried out as soon as there is a place for it. Being late for want of one is no miss."""
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
        """Take the run that has waited longest and for which there is a place."""
        with self._lock:
            if not self._queued:
                return None
            if self._capacity.has_room():
                run = self._queued.popitem(last=False)[0]
                self._capacity.acquire(run.run_id)
            else:
                nested = next((one for one, parent in self._nested.items() if self._capacity.can_lend(parent)), None)
                if nested is None:
                    return None
                run = nested
                del self._queued[run]
                self._capacity.borrow(run.run_id, self._nested[run])
            if self._nested:
                self._nested.pop(run, None)
            self._handed[run] = run.begun_at
            return run

    def _start(self, run: Run) -> None:
        if self._stopping and self._cancel(run):  # its slot gets no record: the next start accounts for it
            self._release(run)
            return
        try:
            if not self._try_process_loop(run):
                self._waker.submit(partial(self._work, run))
        except RuntimeError:  # the host has no thread left, or the service has stopped
            self._release(run)
            if not self._stopping or not self._cancel(run):
                run.stop("shutdown" if self._stopping else "start")

    def _try_process_loop(self, run: Run) -> bool:
        """Have the one thread carry out a run, if it is for that."""
        if not runs_as_process(run.job.task):
            return False
        try:
            self._process_loop.submit(run)
        except (OSError, RuntimeError):  # no descriptor or thread left for it: perhaps one of the pool is free
            return False
        return True

    def _work(self, run: Run) -> None:
        self._done(run, run.attempt())

    def _done(self, run: Run, end: Record | RetryAfter | None) -> None:
        if isinstance(end, RetryAfter):
            due = time.monotonic() + end.delay
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
        """Say how a run stands that is not waiting for its turn."""
        waits = "worker" if run in self._queued else "retry" if run in self._retries else None
        return ActiveRun(run.run_id, run.scheduled, run.started_at, max(1, run.attempts), waits)

    def check(self, now: float) -> None:
        """Say so, once until it is over, when runs wait for a worker for long, or stand still (monotonic seconds).

        To be called once a second.
        """
        self._process_loop.replace_if_hung(now)
        with self._lock:
            waiting, since = len(self._queued), next(iter(self._queued.values()), now)
            still = self._moved[1] + 1 if waiting and self._moved[0] == self._moves else 0
            self._moved = self._moves, still
        if not waiting:
            self._reported_full = False
        elif not self._reported_full and now - since > BACKLOG_WARNING_S:
            self._reported_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", waiting),)))
        self._check_standstill(now)

    def _check_standstill(self, now: float) -> None:
        at = self._clock()
        before = self._guard.longest
        late = self._guard.check([*self._not_begun(), *starmap(Overdue, self._runner.overdue(now))], at)
        if late is not None:
            self._write(Event(at, Level.ERROR, "runner.stuck", _as_event(late)))
        elif before is not None and self._guard.longest is None:
            self._write(Event(at, Level.INFO, "runner.moved", _as_event(before)))

    def _not_begun(self) -> Iterator[Overdue]:
        """Give the oldest command, and the oldest other run, that were handed over and have not begun."""
        with self._lock:
            handed = list(self._handed.items())
        waiting = [
            run for run, begun in handed if run.begun_at == begun and run.record is None and not run.is_cancelled
        ]
        outside = [run for run in waiting if runs_as_process(run.job.task)]
        others = [] if self._waker.is_short() else [run for run in waiting if not runs_as_process(run.job.task)]
        for run in (*outside[:1], *others[:1]):
            yield Overdue(run.job.id, run.run_id, "it was handed over and has not begun")

    @property
    def standstill(self) -> Standstill | None:
        """What should have happened to a run and did not, if that is so for long."""
        return self._guard.longest

    def issues(self) -> Iterator[str]:
        """Say in words what is wrong with the workers."""
        waiting, (_, still) = len(self._queued), self._moved
        if waiting and still >= STANDSTILL_CHECK_S:
            yield (
                f"all {self._workers} workers are busy, {waiting} runs wait for one, and none has ended for {still} s "
                "(`jobscheduler list` shows what runs; `--max-workers` allows more)"
            )

    def _lost_changed(self) -> None:
        """Replace each thread that is lost, and say so. The count is read under a lock, so that none is outrun."""
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
        """Seconds that a task has to end after it was told to."""
        return self._runner.grace

    def close_intake(self) -> None:
        """Begin no run and no further attempt any more; what waits for a worker is withdrawn when its turn comes."""
        self._stopping = True

    def _cancel(self, run: Run) -> bool:
        """Take back a run that has not begun: the next start accounts for its slot, and nobody for a run by hand."""
        is_known = run.is_cancelled
        if not run.cancel():
            return False
        if run.scheduled is None and not is_known:
            self._write(cancelled_record(run, "shutdown", self._clock()))
        return True

    def cancel(self) -> None:
        """Take back what has not begun, and end what waits for a further attempt; no attempt at work has one more."""
        for run in self._runner.active_runs:
            if self._cancel(run):
                continue
            if run.waits_for_attempt:
                run.stop("shutdown")
            else:
                run.end_attempts()

    def stop(self) -> None:
        """Stop all runs that go on; does not wait for them."""
        self._runner.stop("shutdown")

    def close(self) -> None:
        """End what looks after runs."""
        self._process_loop.close()
        self._runner.close()

    def abort(self, seconds: float) -> None:
        """Stop all runs, and wait so long for their ends, looking at nothing that may be locked for ever."""
        self.close_intake()
        self.stop()
        deadline = time.monotonic() + seconds
        while self._runner.active_runs and time.monotonic() < deadline:
            time.sleep(0.02)


def _as_event(late: Standstill) -> Pairs:
    """Return what the log says of a standstill."""
    due = late.due
    return (("job_id", due.job_id), ("run_id", due.run_id), ("problem", due.missing), ("since", late.since))
