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

from jobscheduler.model import Entry, Event, Job, Level, Record, Value
from jobscheduler.runner import Again, Announce, Loop, OutputRing, Run, Runner, is_outside
from jobscheduler.scheduler.capacity import Places
from jobscheduler.scheduler.job_entry import withdrawn_record
from jobscheduler.scheduler.standstill import Due, Guard, Standstill
from jobscheduler.scheduler.waker import Wakes
from jobscheduler.status.snapshot import Going

STILL = 60
"""So many looks, a second apart, no run may have ended while others wait for a worker before that is an issue."""

LATE = 1.0
"""How long runs may wait for a worker before the log says so, in seconds."""

Pairs = tuple[tuple[str, Value], ...]


class Crew:
    """The workers, and the runs that are in their hands. `wakes` has the pool of threads."""

    def __init__(
        self,
        wakes: Wakes,
        places: int,
        *,
        record: Callable[[Record], object],
        write: Callable[[Entry], object],
        announce: Announce | None,
        on_behind: Callable[[], object],
        clock: Callable[[], datetime],
    ) -> None:
        """`record` gets the record of each run, `write` its events and what is to be said of the crew itself."""
        self._wakes = wakes
        self._workers = places
        self._places = Places(places)
        self._write = write
        self._clock = clock
        self._runner = Runner(
            record, write, clock=clock, announce=announce, on_behind=on_behind, on_lost=self._lost_changed
        )
        self._loop = Loop(self._runner, self._done, wakes.submit)
        self._lock = threading.Lock()
        self._handed: dict[Run, int] = {}
        self._guard = Guard()
        self._retries: dict[Run, float] = {}
        self._queued: OrderedDict[Run, float] = OrderedDict()
        self._nested: OrderedDict[Run, str] = OrderedDict()
        self._moves = 0
        self._moved = (0, 0)
        self._told_full = False
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._stopping = False

    def prepare(self) -> None:
        """Get ready for a run: it is not to wait for a thread to be made, or to be woken up from a long sleep."""
        self._loop.prepare()

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

    def begin(self, job: Job, scheduled: datetime | None, extra: Pairs = (), parent: Run | None = None) -> Run:
        """Make the run of a slot, or one by hand without a slot; it goes on from now, and waits to be submitted.

        `parent` is the run from within which it was asked for; it may work in the place of that one.
        """
        return self._runner.begin(job, scheduled, extra, parent)

    def submit(self, run: Run) -> None:
        """Have a run carried out as soon as there is a place for it. Being late for want of one is no miss."""
        self._retries.pop(run, None)
        if self._stopping and self._withdraw(run):
            return
        with self._lock:
            self._queued[run] = time.monotonic()
            if run.parent is not None:
                self._nested[run] = run.parent.run_id
        self._fill_places()

    def _fill_places(self) -> None:
        while (run := self._next()) is not None:
            self._hand_out(run)

    def _next(self) -> Run | None:
        """Take the run that has waited longest and for which there is a place."""
        with self._lock:
            if not self._queued:
                return None
            if self._places.is_free():
                run = self._queued.popitem(last=False)[0]
                self._places.take(run.run_id)
            else:
                nested = next((one for one, parent in self._nested.items() if self._places.can_lend(parent)), None)
                if nested is None:
                    return None
                run = nested
                del self._queued[run]
                self._places.borrow(run.run_id, self._nested[run])
            if self._nested:
                self._nested.pop(run, None)
            self._handed[run] = run.begun
            return run

    def _hand_out(self, run: Run) -> None:
        if self._stopping and self._withdraw(run):  # its slot gets no record: the next start accounts for it
            self._leave_place(run)
            return
        try:
            if not self._can_loop(run):
                self._wakes.submit(partial(self._work, run))
        except RuntimeError:  # the host has no thread left, or the service has stopped
            self._leave_place(run)
            if not self._stopping or not self._withdraw(run):
                run.stop("shutdown" if self._stopping else "start")

    def _can_loop(self, run: Run) -> bool:
        """Have the one thread carry out a run, if it is for that."""
        if not is_outside(run.job.task):
            return False
        try:
            self._loop.put(run)
        except (OSError, RuntimeError):  # no descriptor or thread left for it: perhaps one of the pool is free
            return False
        return True

    def _work(self, run: Run) -> None:
        self._done(run, run.attempt())

    def _done(self, run: Run, end: Record | Again | None) -> None:
        if isinstance(end, Again):
            due = time.monotonic() + end.delay
            self._retries[run] = due
            self._runner.timer.at(due, partial(self.submit, run))
        self._leave_place(run)
        self._fill_places()

    def _leave_place(self, run: Run) -> None:
        with self._lock:
            self._moves += 1
            self._handed.pop(run, None)
            self._places.leave(run.run_id)

    def standing(self, run: Run) -> Going:
        """Say how a run stands that is not waiting for its turn."""
        waits = "worker" if run in self._queued else "retry" if run in self._retries else None
        return Going(run.run_id, run.scheduled, run.started, max(1, run.attempts), waits)

    def look(self, now: float) -> None:
        """Say so, once until it is over, when runs wait for a worker for long, or stand still (monotonic seconds).

        To be called once a second.
        """
        self._loop.look(now)
        with self._lock:
            waiting, since = len(self._queued), next(iter(self._queued.values()), now)
            still = self._moved[1] + 1 if waiting and self._moved[0] == self._moves else 0
            self._moved = self._moves, still
        if not waiting:
            self._told_full = False
        elif not self._told_full and now - since > LATE:
            self._told_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", waiting),)))
        self._look_for_standstill(now)

    def _look_for_standstill(self, now: float) -> None:
        at = self._clock()
        before = self._guard.worst
        late = self._guard.look([*self._not_begun(), *starmap(Due, self._runner.overdue(now))], at)
        if late is not None:
            self._write(Event(at, Level.ERROR, "runner.stuck", _told(late)))
        elif before is not None and self._guard.worst is None:
            self._write(Event(at, Level.INFO, "runner.moved", _told(before)))

    def _not_begun(self) -> Iterator[Due]:
        """Give the oldest command, and the oldest other run, that were handed over and have not begun."""
        with self._lock:
            handed = list(self._handed.items())
        waiting = [run for run, begun in handed if run.begun == begun and run.record is None and not run.is_withdrawn]
        outside = [run for run in waiting if is_outside(run.job.task)]
        others = [] if self._wakes.is_short() else [run for run in waiting if not is_outside(run.job.task)]
        for run in (*outside[:1], *others[:1]):
            yield Due(run.job.id, run.run_id, "it was handed over and has not begun")

    @property
    def standstill(self) -> Standstill | None:
        """What should have happened to a run and did not, if that is so for long."""
        return self._guard.worst

    def issues(self) -> Iterator[str]:
        """Say in words what is wrong with the workers."""
        waiting, (_, still) = len(self._queued), self._moved
        if waiting and still >= STILL:
            yield (
                f"all {self._workers} workers are busy, {waiting} runs wait for one, and none has ended for {still} s "
                "(`jobscheduler list` shows what runs; `--max-workers` allows more)"
            )

    def _lost_changed(self) -> None:
        """Replace each thread that is lost, and say so. The count is read under a lock, so that none is outrun."""
        with self._lost_lock:
            before, self._lost = self._lost, self._runner.lost
            self._wakes.make_up_for(self._lost)
            with self._lock:
                self._places.most = self._workers + self._lost
            if self._lost > before:
                self._write(Event(self._clock(), Level.WARNING, "pool.lost", (("lost", self._lost),)))
        self._fill_places()

    # -- the end

    @property
    def grace(self) -> float:
        """Seconds that a task has to end after it was told to."""
        return self._runner.grace

    def take_no_more(self) -> None:
        """Begin no run and no further attempt any more; what waits for a worker is withdrawn when its turn comes."""
        self._stopping = True

    def _withdraw(self, run: Run) -> bool:
        """Take back a run that has not begun: the next start accounts for its slot, and nobody for a run by hand."""
        is_known = run.is_withdrawn
        if not run.withdraw():
            return False
        if run.scheduled is None and not is_known:
            self._write(withdrawn_record(run, "shutdown", self._clock()))
        return True

    def withdraw(self) -> None:
        """Take back what has not begun, and end what waits for a further attempt; no attempt at work has one more."""
        for run in self._runner.going:
            if self._withdraw(run):
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
        self._loop.close()
        self._runner.close()

    def abandon(self, seconds: float) -> None:
        """Stop all runs, and wait so long for their ends, looking at nothing that may be locked for ever."""
        self.take_no_more()
        self.stop()
        deadline = time.monotonic() + seconds
        while self._runner.going and time.monotonic() < deadline:
            time.sleep(0.02)


def _told(late: Standstill) -> Pairs:
    """Return what the log says of a standstill."""
    due = late.due
    return (("job_id", due.job_id), ("run_id", due.run_id), ("problem", due.missing), ("since", late.since))
