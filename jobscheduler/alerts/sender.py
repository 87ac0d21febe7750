"""Giving alerts: a few threads, a time limit for each alert, and each job's alerts one after the other.

1. An alert waits in the queue of its job; a job whose turn it is stands in `_ready`, unless an alert of it goes on.
2. A worker takes the oldest alert of the job that is first there, carries it out, and puts the job back if more waits.
3. An alert that does not end when it is told to is given up: it is told as failed, its thread is left to it, and
   another one takes the place of that. Which of the two comes first, the end or the giving up, is decided by who takes
   the alert out of `_going`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from jobscheduler.model import Event, Level, TaskSpec, Value
from jobscheduler.runner import GRACE, Ending, Timer, carry_out, tail
from jobscheduler.tasks import Alert, Context

LIMIT = 60.0
"""How long an alert may take, in seconds."""

WORKERS = 4
"""How many alerts are given at once."""

WAITING = 2000
"""How many alerts may wait; what comes then is dropped and counted."""

IDLE = 10.0
"""How long a thread waits for another alert before it ends, in seconds."""

_TURN = 0.2  # seconds between two looks at whether the end has become urgent

Pairs = tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Due:
    """An alert that is to be given: what to do, and what it is told."""

    task: TaskSpec
    alert: Alert

    @property
    def job_id(self) -> str:
        """The job that it is about."""
        return self.alert.record.job_id


@dataclass(slots=True, eq=False)
class _Going:
    """An alert that is being given."""

    due: Due
    context: Context
    began: float


class Sender:
    """Gives alerts. `write` takes the events about them; what it raises is ignored, and no task's fault ends a thread.

    Limits are measured by the monotonic clock; `clock` tells the time of events, in UTC.
    """

    def __init__(
        self,
        write: Callable[[Event], object],
        *,
        limit: float = LIMIT,
        grace: float = GRACE,
        workers: int = WORKERS,
        waiting: int = WAITING,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write = write
        self._limit = limit
        self._grace = grace
        self._most_workers = workers
        self._most_waiting = waiting
        self._clock = clock
        self._timer = Timer(self._complain)
        self._changed = threading.Condition()
        self._queues: dict[str, deque[Due]] = {}
        self._ready: deque[str] = deque()
        self._going: dict[str, _Going] = {}
        self._waiting = self._dropped = self._workers = self._idle = 0
        self._closed = False

    def put(self, due: Due) -> None:
        """Have an alert given after those of the same job that were put before. Never waits for any of them."""
        with self._changed:
            if self._closed or self._waiting >= self._most_waiting:
                self._dropped += 1
                return
            queue = self._queues.setdefault(due.job_id, deque())
            queue.append(due)
            self._waiting += 1
            if len(queue) == 1 and due.job_id not in self._going:
                self._ready.append(due.job_id)
                self._changed.notify_all()
        self.tend()

    def tend(self) -> bool:
        """See that somebody gives the alerts that are ready, and say what was dropped; False if nobody can for now."""
        with self._changed:
            dropped = 0 if self._waiting >= self._most_waiting else self._take_dropped()
            short = len(self._ready) > self._idle
            hire = short and self._workers < self._most_workers
            self._workers += hire
        self._tell_dropped(dropped, "full")
        if hire:
            try:
                threading.Thread(target=self._work, name="alert", daemon=True).start()
            except RuntimeError:  # the host has no thread left
                with self._changed:
                    self._workers -= 1
        return not short or self._workers > 0

    def stop(self, seconds: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Let alerts go on for `seconds` (or until `is_hurried`), then stop those that do and drop what waits."""
        self._wait(lambda: not self._going and not self._waiting, seconds, is_hurried)
        with self._changed:
            self._closed = True
            self._dropped += self._waiting
            self._waiting = 0
            self._queues.clear()
            self._ready.clear()
            going, dropped = tuple(self._going.values()), self._take_dropped()
            self._changed.notify_all()
        for one in going:
            self._tell_to_end(one, "shutdown")
        self._tell_dropped(dropped, "shutdown")

        def never() -> bool:
            is_hurried()  # for whom it pings meanwhile; what was told to end is waited for in any case
            return False

        self._wait(lambda: not self._going, self._grace + 1, never)
        self._timer.close()

    def _wait(self, condition: Callable[[], bool], seconds: float, is_hurried: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not is_hurried():
            with self._changed:
                left = deadline - time.monotonic()
                if self._changed.wait_for(condition, max(0.0, min(left, _TURN))) or left <= 0:
                    return

    # -- on the workers

    def _work(self) -> None:
        while (one := self._next()) is not None:
            ending = self._carry_out(one)
            if not self._end(one):
                return  # this thread was given up
            self._tell_end(one, ending)
            self.tend()

    def _next(self) -> _Going | None:
        """Take the next alert; None when there is none for a while."""
        with self._changed:
            self._idle += 1
            found = self._changed.wait_for(lambda: self._ready or self._closed, IDLE)
            self._idle -= 1
            if not found or self._closed:
                self._workers -= 1
                return None
            job_id = self._ready.popleft()
            due = self._queues[job_id].popleft()
            self._waiting -= 1
            self._going[job_id] = one = _Going(due, self._context(due), time.monotonic())
            return one

    def _context(self, due: Due) -> Context:
        """Make the context. Its run id is a new one: it marks the processes of the alert, not those of the run."""
        record = due.alert.record
        deadline = time.monotonic() + self._limit
        return Context(record.job_id, os.urandom(6).hex(), record.scheduled, deadline=deadline, alert=due.alert)

    def _carry_out(self, one: _Going) -> Ending:
        assert one.context.deadline is not None  # noqa: S101 - `_context` gives every alert one
        limit = self._timer.at(one.context.deadline, partial(self._tell_to_end, one, "timeout"))
        ending = carry_out(one.due.task, one.context)
        self._timer.cancel(limit)
        return ending

    def _end(self, one: _Going) -> bool:
        """Take note that an alert is over; False if it was before."""
        job_id = one.due.job_id
        with self._changed:
            if self._going.get(job_id) is not one:
                return False
            del self._going[job_id]
            if self._queues.get(job_id):
                self._ready.append(job_id)
            else:
                self._queues.pop(job_id, None)
            self._changed.notify_all()
        return True

    # -- limits

    def _tell_to_end(self, one: _Going, reason: str) -> None:
        if not one.context.has_to_stop:
            self._timer.at(time.monotonic() + self._grace, partial(self._give_up, one))
        one.context.stop(reason, self._complain)

    def _give_up(self, one: _Going) -> None:
        if self._end(one):
            with self._changed:
                self._workers -= 1
            why = f"the task did not end within {self._grace:g} s of being told to; its thread is lost"
            self._tell_end(one, Ending(details=(("error", why),)))
            self.tend()

    # -- what is told

    def _tell_end(self, one: _Going, ending: Ending) -> None:
        reason = one.context.reason or ending.reason
        seconds = round(time.monotonic() - one.began, 3)
        if ending.traceback:
            self._tell(Level.ERROR, "task.crashed", one, (("traceback", ending.traceback),))
        if reason is None:
            self._tell(Level.INFO, "alert.sent", one, (("duration", seconds), *ending.details))
            return
        output: Pairs = (("output", tail(ending.output)),) if ending.output else ()
        values: Pairs = (("duration", seconds), ("reason", reason), *ending.details, *output)
        self._tell(Level.WARNING, "alert.failed", one, values)

    def _tell(self, level: Level, name: str, one: _Going, values: Pairs) -> None:
        record = one.due.alert.record
        who: Pairs = (("job_id", record.job_id), ("on", one.due.alert.on))
        run: Pairs = () if record.run_id is None else (("run_id", record.run_id),)
        self._say(Event(self._clock(), level, name, (*who, *run, *values)))

    def _take_dropped(self) -> int:
        """Return how many alerts were dropped and not told yet; under the lock."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _tell_dropped(self, count: int, reason: str) -> None:
        if count:
            self._say(Event(self._clock(), Level.WARNING, "alert.dropped", (("count", count), ("reason", reason))))

    def _complain(self, error: Exception) -> None:
        values: Pairs = (("error", f"{type(error).__name__}: {error}"),)
        self._say(Event(self._clock(), Level.ERROR, "task.crashed", values))

    def _say(self, event: Event) -> None:
        with suppress(Exception):  # the log says its own troubles
            self._write(event)
