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

from jobscheduler.alerts.pending_alert import Key, PendingAlert, merge
from jobscheduler.model import Event, Level, LogValue
from jobscheduler.runner import STOP_GRACE_S, AttemptResult, TimerThread, execute_task, tail
from jobscheduler.tasks import Context

ALERT_TIMEOUT_S = 60.0
"""How long an alert may take, in seconds."""

MAX_WORKERS = 8
"""How many alerts are given at once, besides those that take long."""

MAX_PER_RECEIVER = 4
"""How many of them go to one receiver: the server of a URL, else one and the same task."""

LONG_RUN_S = 5.0
"""What takes longer than this no longer counts among the workers, in seconds."""

MAX_THREADS = 64
"""How many alerts are given at once, with those that take long."""

MAX_WAITING_OF_JOB = 2
"""How many alerts of one job may wait."""

MAX_WAITING = 2000
"""How many alerts may wait; what comes then is dropped and named."""

MAX_NAMED_JOBS = 200
"""How many jobs one line names."""

IDLE_TIMEOUT_S = 10.0
"""How long a thread waits for another alert before it ends, in seconds."""

_WAIT_STEP_S = 0.2  # seconds between two looks at whether the end has become urgent

Pairs = tuple[tuple[str, LogValue], ...]


@dataclass(slots=True, eq=False)
class _ActiveAlert:
    """An alert that is being given."""

    due: PendingAlert
    context: Context
    started_at: float
    is_long: bool = False


class Sender:
    """Gives alerts. `write` takes the events about them; what it raises is ignored, and no task's fault ends a thread.

    Limits are measured by the monotonic clock; `clock` tells the time of events, in UTC.
    """

    def __init__(
        self,
        write: Callable[[Event], object],
        *,
        limit: float = ALERT_TIMEOUT_S,
        grace: float = STOP_GRACE_S,
        workers: int = MAX_WORKERS,
        waiting: int = MAX_WAITING,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._write = write
        self._limit = limit
        self._grace = grace
        self._most_workers = workers
        self._most_waiting = waiting
        self._clock = clock
        self._timer = TimerThread(self._report_error)
        self._changed = threading.Condition()
        self._queues: dict[Key, deque[PendingAlert]] = {}
        self._ready: deque[Key] = deque()
        self._active: dict[Key, _ActiveAlert] = {}
        self._dropped: list[str] = []
        self._waiting = self._workers = self._idle = self._long = 0
        self._closed = False

    def put(self, due: PendingAlert) -> None:
        """Have an alert given after those of the same job that were put before. Never waits for any of them."""
        with self._changed:
            if self._closed:
                self._dropped += due.job_names
                return
            queue = self._queues.setdefault(due.key, deque())
            if len(queue) >= MAX_WAITING_OF_JOB:
                queue.append(merge(queue.pop(), due))
            elif self._waiting >= self._most_waiting:
                self._dropped += due.job_names
            else:
                queue.append(due)
                self._waiting += 1
                if len(queue) == 1 and due.key not in self._active:
                    self._ready.append(due.key)
                    self._changed.notify_all()
        self.maintain()

    def waiting(self) -> list[str]:
        """Return the jobs of which an alert waits or is being given."""
        with self._changed:
            dues = [*(one.due for one in self._active.values()), *chain.from_iterable(self._queues.values())]
        return [name for due in dues for name in due.job_names]

    def maintain(self) -> bool:
        """See that a worker gives the alerts that are ready, and say what was dropped; False if none can for now."""
        with self._changed:
            is_full = self._waiting >= self._most_waiting
            dropped = [] if is_full and len(self._dropped) < MAX_NAMED_JOBS else self._pop_dropped()
            short = not self._idle and self._first() is not None
            hire = short and self._workers - self._long < self._most_workers and self._workers < MAX_THREADS
            self._workers += hire
            self._idle += hire  # it is about to look for an alert
        self._log_dropped(dropped, "full")
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
        at_work = Counter(one.due.receiver for one in self._active.values())
        return next((key for key in self._ready if at_work[self._queues[key][0].receiver] < MAX_PER_RECEIVER), None)

    def stop(self, seconds: float, poll: Callable[[], bool] = lambda: False) -> None:
        """Let alerts go on for `seconds`, then stop those that still run, and drop those in the queues.

        `poll` is called again and again meanwhile; it returns whether to hurry. Alerts that were told to stop have
        their grace even in a hurry.
        """
        self._wait(lambda: not self._active and not self._waiting, seconds, poll)
        with self._changed:
            self._closed = True
            self._dropped += [name for queue in self._queues.values() for due in queue for name in due.job_names]
            self._waiting = 0
            self._queues.clear()
            self._ready.clear()
            going, dropped = tuple(self._active.values()), self._pop_dropped()
            self._changed.notify_all()
        for one in going:
            self._request_stop(one, "shutdown")
        self._log_dropped(dropped, "shutdown")
        self._wait(lambda: not self._active, self._grace + 1, poll, may_hurry=False)
        self._timer.close()

    def _wait(
        self, condition: Callable[[], bool], seconds: float, poll: Callable[[], bool], *, may_hurry: bool = True
    ) -> None:
        """Wait for a condition, `seconds` at most, and less when `poll` asks to hurry and that is allowed."""
        deadline = time.monotonic() + seconds
        while not (poll() and may_hurry):
            with self._changed:
                left = deadline - time.monotonic()
                if self._changed.wait_for(condition, max(0.0, min(left, _WAIT_STEP_S))) or left <= 0:
                    return

    # -- on the workers

    def _work(self) -> None:
        while (one := self._next()) is not None:
            ending = self._execute(one)
            if not self._ended(one):
                return  # this thread was given up
            self._log_result(one, ending)
            with self._changed:
                self._idle += 1
            self.maintain()

    def _next(self) -> _ActiveAlert | None:
        """Take the next alert; None when there is none for a while. The worker counts as idle before."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._closed or self._first() is not None, IDLE_TIMEOUT_S)
            self._idle -= 1
            key = self._first()
            if not found or self._closed or key is None:
                self._workers -= 1
                return None
            self._ready.remove(key)
            due = self._queues[key].popleft()
            self._waiting -= 1
            self._active[key] = one = _ActiveAlert(due, self._context(due), time.monotonic())
        self.maintain()
        return one

    def _context(self, due: PendingAlert) -> Context:
        """Make the context. Its run id is a new one: it marks the processes of the alert, not those of the run."""
        deadline = time.monotonic() + self._limit
        slot = None if due.jobs else due.alert.record.scheduled
        return Context(due.job_id, os.urandom(6).hex(), slot, deadline=deadline, alert=due.alert)

    def _execute(self, one: _ActiveAlert) -> AttemptResult:
        assert one.context.deadline is not None  # noqa: S101 - `_context` gives every alert one
        limit = self._timer.call_at(one.context.deadline, partial(self._request_stop, one, "timeout"))
        long = self._timer.call_at(one.started_at + LONG_RUN_S, partial(self._takes_long, one))
        ending = execute_task(one.due.task, one.context)
        self._timer.cancel(limit)
        self._timer.cancel(long)
        return ending

    def _takes_long(self, one: _ActiveAlert) -> None:
        """Let another worker take its place beside it."""
        with self._changed:
            if self._active.get(one.due.key) is one and not one.is_long:
                one.is_long = True
                self._long += 1
        self.maintain()

    def _ended(self, one: _ActiveAlert) -> bool:
        """Take note that an alert is over; False if it was before."""
        key = one.due.key
        with self._changed:
            if self._active.get(key) is not one:
                return False
            del self._active[key]
            self._long -= one.is_long
            if self._queues.get(key):
                self._ready.append(key)
            else:
                self._queues.pop(key, None)
            self._changed.notify_all()
        return True

    # -- limits

    def _request_stop(self, one: _ActiveAlert, reason: str) -> None:
        if not one.context.stop_requested:
            self._timer.call_at(time.monotonic() + self._grace, partial(self._give_up, one))
        one.context.stop(reason, self._report_error)

    def _give_up(self, one: _ActiveAlert) -> None:
        if self._ended(one):
            with self._changed:
                self._workers -= 1
            why = f"the task did not end within {self._grace:g} s of being told to; its thread is lost"
            self._log_result(one, AttemptResult(details=(("error", why),)))
            self.maintain()

    # -- what is told

    def _log_result(self, one: _ActiveAlert, ending: AttemptResult) -> None:
        reason = one.context.reason or ending.reason
        seconds = round(time.monotonic() - one.started_at, 3)
        if ending.traceback:
            self._log_event(Level.ERROR, "task.crashed", one, (("traceback", ending.traceback),))
        if reason is None:
            self._log_event(Level.INFO, "alert.sent", one, (("duration", seconds), *ending.details))
            return
        output: Pairs = (("output", tail(ending.output)),) if ending.output else ()
        values: Pairs = (("duration", seconds), ("reason", reason), *ending.details, *output)
        self._log_event(Level.WARNING, "alert.failed", one, values)

    def _log_event(self, level: Level, name: str, one: _ActiveAlert, values: Pairs) -> None:
        record, due = one.due.alert.record, one.due
        which: Pairs = (("count", len(due.jobs)),) if due.jobs else (("job_id", record.job_id),)
        run: Pairs = () if record.run_id is None or due.jobs else (("run_id", record.run_id),)
        changes: Pairs = (("changes", due.changes),) if due.changes > 1 else ()
        self._log(Event(self._clock(), level, name, (*which, ("on", due.alert.on), *run, *changes, *values)))

    def _pop_dropped(self) -> list[str]:
        """Return the jobs whose alerts were dropped and not told yet; under the lock."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _log_dropped(self, jobs: Sequence[str], reason: str) -> None:
        for start in range(0, len(jobs), MAX_NAMED_JOBS):
            part = jobs[start : start + MAX_NAMED_JOBS]
            values: Pairs = (("count", len(part)), ("reason", reason), ("jobs", ",".join(dict.fromkeys(part))))
            self._log(Event(self._clock(), Level.WARNING, "alert.dropped", values))

    def _report_error(self, error: Exception) -> None:
        values: Pairs = (("error", f"{type(error).__name__}: {error}"),)
        self._log(Event(self._clock(), Level.ERROR, "task.crashed", values))

    def _log(self, event: Event) -> None:
        with suppress(Exception):  # the log says its own troubles
            self._write(event)
