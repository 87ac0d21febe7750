"""Send alerts: a few worker threads, a time limit for each alert, and the alerts of a job one after the other.

1. An alert waits in the queue of its job. The job stands in `_ready` unless one of its alerts is being sent. A queue
   holds two alerts, the first change and the latest; those in between cancel out and are counted.
2. A worker takes the oldest alert of the first ready job whose receiver has capacity, sends it, and puts the job back
   if another alert waits. An alert that takes long no longer counts as a worker: a receiver that hangs delays no other.
3. An alert that does not end at its limit is given up: it is logged as failed, its thread is lost to it, and another
   thread is started. The thread that takes the alert out of `_active` first decides: it has ended, or is given up.
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

ALERT_TIMEOUT_S = 60.0  # limit of one alert
MAX_WORKERS = 8  # alerts that are sent at once, apart from those that take long
MAX_PER_RECEIVER = 4  # alerts that are sent at once to the server of a URL, else of one and the same task
LONG_RUN_S = 5.0  # an alert that takes longer no longer counts as a worker
MAX_THREADS = 64  # alerts that are sent at once, including those that take long
MAX_WAITING_OF_JOB = 2  # queued alerts of one job
MAX_WAITING = 2000  # queued alerts of all jobs; further ones are dropped, and their jobs logged
MAX_NAMED_JOBS = 200  # in one line of the log
IDLE_TIMEOUT_S = 10.0  # a thread waits this long for another alert before it ends
_WAIT_STEP_S = 0.2  # between two polls at a stop

Pairs = tuple[tuple[str, LogValue], ...]


@dataclass(slots=True, eq=False)
class _ActiveAlert:
    """An alert that is being sent."""

    due: PendingAlert
    context: Context
    started_at: float
    is_long: bool = False


class Sender:
    """Sends alerts. `write` writes events about them to the log; its exceptions, and those of tasks, end no thread.

    Limits are in seconds of the monotonic clock; `clock` gives the time of events, in UTC.
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
        self._max_workers = workers
        self._max_waiting = waiting
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
        """Queue an alert behind the earlier ones of its job. Never waits for any of them."""
        with self._changed:
            if self._closed:
                self._dropped += due.job_names
                return
            queue = self._queues.setdefault(due.key, deque())
            if len(queue) >= MAX_WAITING_OF_JOB:
                queue.append(merge(queue.pop(), due))
            elif self._waiting >= self._max_waiting:
                self._dropped += due.job_names
            else:
                queue.append(due)
                self._waiting += 1
                if len(queue) == 1 and due.key not in self._active:
                    self._ready.append(due.key)
                    self._changed.notify_all()
        self.maintain()

    def waiting(self) -> list[str]:
        """Return the jobs with an alert that is queued or being sent."""
        with self._changed:
            dues = [*(active.due for active in self._active.values()), *chain.from_iterable(self._queues.values())]
        return [name for due in dues for name in due.job_names]

    def maintain(self) -> bool:
        """Start a worker if ready alerts need one, and log dropped alerts; return False if no thread can be started."""
        with self._changed:
            is_full = self._waiting >= self._max_waiting
            dropped = [] if is_full and len(self._dropped) < MAX_NAMED_JOBS else self._pop_dropped()
            is_short = not self._idle and self._first() is not None
            needs_worker = is_short and self._workers - self._long < self._max_workers and self._workers < MAX_THREADS
            self._workers += needs_worker
            self._idle += needs_worker  # it begins by taking an alert
        self._log_dropped(dropped, "full")
        if needs_worker:
            try:
                threading.Thread(target=self._work, name="alert", daemon=True).start()
            except RuntimeError:  # the host has no thread left
                with self._changed:
                    self._workers -= 1
                    self._idle -= 1
        return not is_short or self._workers > 0

    def _first(self) -> Key | None:
        """Return the first job whose alert may be sent now. Lock: held by the caller."""
        active = Counter(active.due.receiver for active in self._active.values())
        return next((key for key in self._ready if active[self._queues[key][0].receiver] < MAX_PER_RECEIVER), None)

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
            still_active, dropped = tuple(self._active.values()), self._pop_dropped()
            self._changed.notify_all()
        for active in still_active:
            self._request_stop(active, "shutdown")
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
                remaining = deadline - time.monotonic()
                if self._changed.wait_for(condition, max(0.0, min(remaining, _WAIT_STEP_S))) or remaining <= 0:
                    return

    # -- on the workers

    def _work(self) -> None:
        while (active := self._next()) is not None:
            result = self._execute(active)
            if not self._remove(active):
                return  # this thread was given up
            self._log_result(active, result)
            with self._changed:
                self._idle += 1
            self.maintain()

    def _next(self) -> _ActiveAlert | None:
        """Take the next alert; return None after `IDLE_TIMEOUT_S` without one. The worker counts as idle before."""
        with self._changed:
            is_ready = self._changed.wait_for(lambda: self._closed or self._first() is not None, IDLE_TIMEOUT_S)
            self._idle -= 1
            key = self._first()
            if not is_ready or self._closed or key is None:
                self._workers -= 1
                return None
            self._ready.remove(key)
            due = self._queues[key].popleft()
            self._waiting -= 1
            self._active[key] = active = _ActiveAlert(due, self._context(due), time.monotonic())
        self.maintain()
        return active

    def _context(self, due: PendingAlert) -> Context:
        """Build the context. Its run id is a new one: it marks the processes of the alert, not those of the run."""
        deadline = time.monotonic() + self._limit
        slot = None if due.jobs else due.alert.record.scheduled
        return Context(due.job_id, os.urandom(6).hex(), slot, deadline=deadline, alert=due.alert)

    def _execute(self, active: _ActiveAlert) -> AttemptResult:
        assert active.context.deadline is not None  # noqa: S101 - `_context` gives every alert one
        limit = self._timer.call_at(active.context.deadline, partial(self._request_stop, active, "timeout"))
        long = self._timer.call_at(active.started_at + LONG_RUN_S, partial(self._note_long, active))
        result = execute_task(active.due.task, active.context)
        self._timer.cancel(limit)
        self._timer.cancel(long)
        return result

    def _note_long(self, active: _ActiveAlert) -> None:
        """Stop counting an alert as a worker, so that another one may start."""
        with self._changed:
            if self._active.get(active.due.key) is active and not active.is_long:
                active.is_long = True
                self._long += 1
        self.maintain()

    def _remove(self, active: _ActiveAlert) -> bool:
        """Remove an alert that is over, and make its job ready again; return False if it was removed before."""
        key = active.due.key
        with self._changed:
            if self._active.get(key) is not active:
                return False
            del self._active[key]
            self._long -= active.is_long
            if self._queues.get(key):
                self._ready.append(key)
            else:
                self._queues.pop(key, None)
            self._changed.notify_all()
        return True

    # -- limits

    def _request_stop(self, active: _ActiveAlert, reason: str) -> None:
        if not active.context.stop_requested:
            self._timer.call_at(time.monotonic() + self._grace, partial(self._give_up, active))
        active.context.stop(reason, self._report_error)

    def _give_up(self, active: _ActiveAlert) -> None:
        if self._remove(active):
            with self._changed:
                self._workers -= 1
            error = f"the task did not end within {self._grace:g} s of being asked to; its thread is lost"
            self._log_result(active, AttemptResult(details=(("error", error),)))
            self.maintain()

    # -- events

    def _log_result(self, active: _ActiveAlert, result: AttemptResult) -> None:
        reason = active.context.reason or result.reason
        seconds = round(time.monotonic() - active.started_at, 3)
        if result.traceback:
            self._log_event(Level.ERROR, "task.crashed", active, (("traceback", result.traceback),))
        if reason is None:
            self._log_event(Level.INFO, "alert.sent", active, (("duration", seconds), *result.details))
            return
        output: Pairs = (("output", tail(result.output)),) if result.output else ()
        values: Pairs = (("duration", seconds), ("reason", reason), *result.details, *output)
        self._log_event(Level.WARNING, "alert.failed", active, values)

    def _log_event(self, level: Level, name: str, active: _ActiveAlert, values: Pairs) -> None:
        record, due = active.due.alert.record, active.due
        subject: Pairs = (("count", len(due.jobs)),) if due.jobs else (("job_id", record.job_id),)
        run: Pairs = () if record.run_id is None or due.jobs else (("run_id", record.run_id),)
        changes: Pairs = (("changes", due.changes),) if due.changes > 1 else ()
        self._log(Event(self._clock(), level, name, (*subject, ("on", due.alert.on), *run, *changes, *values)))

    def _pop_dropped(self) -> list[str]:
        """Return the jobs whose alerts were dropped and not logged yet. Lock: held by the caller."""
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
        with suppress(Exception):  # the log reports its own errors
            self._write(event)
