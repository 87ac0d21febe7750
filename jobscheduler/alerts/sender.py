"""Giving alerts: a few threads, a time limit for each alert, and each job's alerts one after the other.

1. An alert waits in the queue of its job; a job whose turn it is stands in `_ready`, unless an alert of it goes on. A
   queue has two places: the first change and the latest; those in between cancel out and are counted.
2. A worker takes the oldest alert of the first job there whose receiver has a place, carries it out, and puts the job
   back if more waits. An alert that takes long does not count among the workers: receivers that hang delay no other.
3. An alert that does not end when it is told to is given up: it is told as failed, its thread is left to it, and
   another one takes the place of that. Which of the two comes first, the end or the giving up, is decided by who takes
   the alert out of `_going`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain

from jobscheduler.alerts.pending_alert import Due, Key, merged
from jobscheduler.model import Event, Level, Value
from jobscheduler.runner import GRACE, Ending, Timer, carry_out, tail
from jobscheduler.tasks import Context

LIMIT = 60.0
"""How long an alert may take, in seconds."""

WORKERS = 8
"""How many alerts are given at once, besides those that take long."""

OF_RECEIVER = 4
"""How many of them go to one receiver: the server of a URL, else one and the same task."""

LONG = 5.0
"""What takes longer than this no longer counts among the workers, in seconds."""

THREADS = 64
"""How many alerts are given at once, with those that take long."""

OF_JOB = 2
"""How many alerts of one job may wait."""

WAITING = 2000
"""How many alerts may wait; what comes then is dropped and named."""

NAMED = 200
"""How many jobs one line names."""

IDLE = 10.0
"""How long a thread waits for another alert before it ends, in seconds."""

_TURN = 0.2  # seconds between two looks at whether the end has become urgent

Pairs = tuple[tuple[str, Value], ...]


@dataclass(slots=True, eq=False)
class _Going:
    """An alert that is being given."""

    due: Due
    context: Context
    began: float
    is_long: bool = False


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
        self._queues: dict[Key, deque[Due]] = {}
        self._ready: deque[Key] = deque()
        self._going: dict[Key, _Going] = {}
        self._dropped: list[str] = []
        self._waiting = self._workers = self._idle = self._long = 0
        self._closed = False

    def put(self, due: Due) -> None:
        """Have an alert given after those of the same job that were put before. Never waits for any of them."""
        with self._changed:
            if self._closed:
                self._dropped += due.names
                return
            queue = self._queues.setdefault(due.key, deque())
            if len(queue) >= OF_JOB:
                queue.append(merged(queue.pop(), due))
            elif self._waiting >= self._most_waiting:
                self._dropped += due.names
            else:
                queue.append(due)
                self._waiting += 1
                if len(queue) == 1 and due.key not in self._going:
                    self._ready.append(due.key)
                    self._changed.notify_all()
        self.tend()

    def waiting(self) -> list[str]:
        """Return the jobs of which an alert waits or is being given."""
        with self._changed:
            dues = [*(one.due for one in self._going.values()), *chain.from_iterable(self._queues.values())]
        return [name for due in dues for name in due.names]

    def tend(self) -> bool:
        """See that a worker gives the alerts that are ready, and say what was dropped; False if none can for now."""
        with self._changed:
            is_full = self._waiting >= self._most_waiting
            dropped = [] if is_full and len(self._dropped) < NAMED else self._take_dropped()
            short = not self._idle and self._first() is not None
            hire = short and self._workers - self._long < self._most_workers and self._workers < THREADS
            self._workers += hire
            self._idle += hire  # it is about to look for an alert
        self._tell_dropped(dropped, "full")
        if hire:
            try:
                threading.Thread(target=self._work, name="alert", daemon=True).start()
            except RuntimeError:  # the host has no thread left
                with self._changed:
                    self._workers -= 1
                    self._idle -= 1
        return not short or self._workers > 0

    def _first(self) -> Key | None:
        """Return the first job whose alert may be given now; under the lock."""
        at_work = Counter(one.due.receiver for one in self._going.values())
        return next((key for key in self._ready if at_work[self._queues[key][0].receiver] < OF_RECEIVER), None)

    def stop(self, seconds: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Let alerts go on for `seconds` (or until `is_hurried`), then stop those that do and drop what waits."""
        self._wait(lambda: not self._going and not self._waiting, seconds, is_hurried)
        with self._changed:
            self._closed = True
            self._dropped += [name for queue in self._queues.values() for due in queue for name in due.names]
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
            with self._changed:
                self._idle += 1
            self.tend()

    def _next(self) -> _Going | None:
        """Take the next alert; None when there is none for a while. The worker counts as idle before."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._closed or self._first() is not None, IDLE)
            self._idle -= 1
            key = self._first()
            if not found or self._closed or key is None:
                self._workers -= 1
                return None
            self._ready.remove(key)
            due = self._queues[key].popleft()
            self._waiting -= 1
            self._going[key] = one = _Going(due, self._context(due), time.monotonic())
        self.tend()
        return one

    def _context(self, due: Due) -> Context:
        """Make the context. Its run id is a new one: it marks the processes of the alert, not those of the run."""
        deadline = time.monotonic() + self._limit
        slot = None if due.jobs else due.alert.record.scheduled
        return Context(due.job_id, os.urandom(6).hex(), slot, deadline=deadline, alert=due.alert)

    def _carry_out(self, one: _Going) -> Ending:
        assert one.context.deadline is not None  # noqa: S101 - `_context` gives every alert one
        limit = self._timer.at(one.context.deadline, partial(self._tell_to_end, one, "timeout"))
        long = self._timer.at(one.began + LONG, partial(self._takes_long, one))
        ending = carry_out(one.due.task, one.context)
        self._timer.cancel(limit)
        self._timer.cancel(long)
        return ending

    def _takes_long(self, one: _Going) -> None:
        """Let another worker take its place beside it."""
        with self._changed:
            if self._going.get(one.due.key) is one and not one.is_long:
                one.is_long = True
                self._long += 1
        self.tend()

    def _end(self, one: _Going) -> bool:
        """Take note that an alert is over; False if it was before."""
        key = one.due.key
        with self._changed:
            if self._going.get(key) is not one:
                return False
            del self._going[key]
            self._long -= one.is_long
            if self._queues.get(key):
                self._ready.append(key)
            else:
                self._queues.pop(key, None)
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
        record, due = one.due.alert.record, one.due
        which: Pairs = (("count", len(due.jobs)),) if due.jobs else (("job_id", record.job_id),)
        run: Pairs = () if record.run_id is None or due.jobs else (("run_id", record.run_id),)
        changes: Pairs = (("changes", due.changes),) if due.changes > 1 else ()
        self._say(Event(self._clock(), level, name, (*which, ("on", due.alert.on), *run, *changes, *values)))

    def _take_dropped(self) -> list[str]:
        """Return the jobs whose alerts were dropped and not told yet; under the lock."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _tell_dropped(self, jobs: Sequence[str], reason: str) -> None:
        for start in range(0, len(jobs), NAMED):
            part = jobs[start : start + NAMED]
            values: Pairs = (("count", len(part)), ("reason", reason), ("jobs", ",".join(dict.fromkeys(part))))
            self._say(Event(self._clock(), Level.WARNING, "alert.dropped", values))

    def _complain(self, error: Exception) -> None:
        values: Pairs = (("error", f"{type(error).__name__}: {error}"),)
        self._say(Event(self._clock(), Level.ERROR, "task.crashed", values))

    def _say(self, event: Event) -> None:
        with suppress(Exception):  # the log says its own troubles
            self._write(event)
