"""The threads that carry out runs: handing runs to them, trying again after a pause, and ending all of it.

A run that has to wait for a worker is late and never dropped. A thread that a task does not give back is replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from jobscheduler.model import Entry, Event, Job, Level, Record, Value
from jobscheduler.runner import Again, OutputRing, Run, Runner
from jobscheduler.scheduler.held import withdrawn_record
from jobscheduler.scheduler.wakes import Wakes
from jobscheduler.status import Going

LATE = 1.0
"""How long runs may wait for a worker before the log says so, in seconds."""

Pairs = tuple[tuple[str, Value], ...]


class Crew:
    """The workers, and the runs that are in their hands. `wakes` has the pool of threads."""

    def __init__(
        self,
        wakes: Wakes,
        *,
        record: Callable[[Record], object],
        emit: Callable[[Event], object],
        write: Callable[[Entry], object],
        clock: Callable[[], datetime],
    ) -> None:
        """`record` gets the record of each run, `emit` its events, `write` what is to be said of the crew itself."""
        self._wakes = wakes
        self._write = write
        self._clock = clock
        self._runner = Runner(record, emit, clock=clock, on_lost=self._lost_changed)
        self._retries: dict[Run, float] = {}
        self._queued: dict[Run, float] = {}
        self._told_full = False
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._stopping = False

    @property
    def going(self) -> tuple[Run, ...]:
        """The runs that have no record yet, waiting ones included."""
        return self._runner.going

    @property
    def outputs(self) -> OutputRing:
        """What the latest runs printed."""
        return self._runner.outputs

    def queued(self) -> int:
        """How many runs wait for a worker."""
        return len(self._queued)

    def lost(self) -> int:
        """How many threads are held by tasks that did not end when told to."""
        return self._runner.lost

    def begin(self, job: Job, scheduled: datetime | None, extra: Pairs = ()) -> Run:
        """Make the run of a slot, or one by hand without a slot; it goes on from now, and waits to be submitted."""
        return self._runner.begin(job, scheduled, extra)

    def submit(self, run: Run) -> None:
        """Hand a run to the pool. Lateness for want of a worker is no miss, so the pool's queue has no bound."""
        self._retries.pop(run, None)
        if self._stopping and self._withdraw(run):
            return
        self._queued[run] = time.monotonic()
        try:
            self._wakes.submit(partial(self._work, run))
        except RuntimeError:  # the host has no thread left, or the service has stopped
            self._queued.pop(run, None)
            if not self._stopping or not self._withdraw(run):
                run.stop("shutdown" if self._stopping else "start")

    def _work(self, run: Run) -> None:
        self._queued.pop(run, None)
        if self._stopping and self._withdraw(run):
            return  # the slot gets no record: the next start accounts for it
        end = run.attempt()
        if isinstance(end, Again):
            due = time.monotonic() + end.delay
            self._retries[run] = due
            self._runner.timer.at(due, partial(self.submit, run))

    def standing(self, run: Run) -> Going:
        """Say how a run stands that is not waiting for its turn."""
        waits = "worker" if run in self._queued else "retry" if run in self._retries else None
        return Going(run.run_id, run.scheduled, run.started, max(1, run.attempts), waits)

    def look_at_pool(self, now: float) -> None:
        """Say so, once until it is over, when runs wait for a worker for longer than a moment (monotonic seconds)."""
        waiting = list(self._queued.values())
        if not waiting:
            self._told_full = False
        elif not self._told_full and now - waiting[0] > LATE:
            self._told_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", len(waiting)),)))

    def _lost_changed(self) -> None:
        """Replace each thread that is lost, and say so. The count is read under a lock, so that none is outrun."""
        with self._lost_lock:
            before, self._lost = self._lost, self._runner.lost
            self._wakes.make_up_for(self._lost)
            if self._lost > before:
                self._write(Event(self._clock(), Level.WARNING, "pool.lost", (("lost", self._lost),)))

    # -- the end

    @property
    def grace(self) -> float:
        """Seconds that a task has to end after it was told to."""
        return self._runner.grace

    def take_no_more(self) -> None:
        """Begin no run any more; those that wait for a worker are withdrawn when their turn comes."""
        self._stopping = True

    def _withdraw(self, run: Run) -> bool:
        """Take back a run that has not begun: the next start accounts for its slot, and nobody for a run by hand."""
        is_known = run.is_withdrawn
        if not run.withdraw():
            return False
        if run.scheduled is None and not is_known:
            self._write(withdrawn_record(run, "shutdown", self._clock()))
        return True

    def withdraw(self, deadline: float) -> None:
        """Take back what has not begun, and give up further attempts that are due after `deadline` (monotonic)."""
        for run in self._runner.going:
            if not self._withdraw(run) and self._retries.get(run, 0.0) > deadline:
                run.stop("shutdown")

    def stop(self) -> None:
        """Stop all runs that go on; does not wait for them."""
        self._runner.stop("shutdown")

    def close(self) -> None:
        """End what looks after runs."""
        self._runner.close()

    def abandon(self, seconds: float) -> None:
        """Stop all runs, and wait so long for their ends, looking at nothing that may be locked for ever."""
        self.take_no_more()
        self.stop()
        deadline = time.monotonic() + seconds
        while self._runner.going and time.monotonic() < deadline:
            time.sleep(0.02)
