"""Send alerts: a few worker threads, and a time limit for each alert.

1. An alert waits in the queue of its job (`alert_queues`). A worker takes the next one and sends it.
2. An alert that takes long no longer counts as a worker: a receiver that hangs delays no other.
3. An alert that does not end at its limit is given up: it is logged as failed, its thread is lost to it, and another
   thread is started. The thread that takes the alert out of `_active` first decides: it has ended, or is given up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from jobscheduler.alerts.alert_log import AlertLog
from jobscheduler.alerts.alert_queues import MAX_WAITING, AlertQueues
from jobscheduler.alerts.pending_alert import AlertEnd, PendingAlert
from jobscheduler.model import Event
from jobscheduler.runner import STOP_GRACE_S, AttemptResult, TimerThread, execute_task
from jobscheduler.tasks import Context
from jobscheduler.util.instants import utc_now

ALERT_TIMEOUT_S = 60.0  # limit of one alert
MAX_WORKERS = 8  # alerts that are sent at once, apart from those that take long
LONG_RUN_S = 5.0  # an alert that takes longer no longer counts as a worker
MAX_THREADS = 64  # alerts that are sent at once, including those that take long
IDLE_TIMEOUT_S = 10.0  # a thread waits this long for another alert before it ends
_WAIT_STEP_S = 0.2  # between two polls at a stop


@dataclass(slots=True, eq=False)
class _ActiveAlert:
    """An alert that is being sent."""

    due: PendingAlert
    context: Context
    started_at: float
    is_long: bool = False


@dataclass(slots=True)
class _WorkerCount:
    """How many threads there are, how many of them wait for an alert, and how many send one that takes long.

    Lock: that of the pool.
    """

    limit: int  # of workers, apart from those with an alert that takes long
    workers: int = 0
    idle: int = 0
    long: int = 0

    def add_if_allowed(self) -> bool:
        """Count one more worker, unless there are enough; return whether it is to be started."""
        if self.workers - self.long >= self.limit or self.workers >= MAX_THREADS:
            return False
        self.workers += 1
        self.idle += 1  # it begins by taking an alert
        return True

    def remove_idle(self) -> None:
        """Count one worker less, which has no alert."""
        self.workers -= 1
        self.idle -= 1


class AlertSenderPool:
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
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._limit = limit
        self._grace = grace
        self._count = _WorkerCount(workers)
        self._log = AlertLog(write, clock)
        self._timer = TimerThread(self._log.crash)
        self._changed = threading.Condition()
        self._queues = AlertQueues(waiting)
        self._active: set[_ActiveAlert] = set()

    def put(self, due: PendingAlert) -> None:
        """Queue an alert behind the earlier ones of its job. Never waits for any of them."""
        with self._changed:
            if self._queues.put(due):
                self._changed.notify_all()
            if self._queues.is_closed:
                return
        self.maintain()

    def waiting(self) -> list[str]:
        """Return the jobs with an alert that is queued or being sent."""
        with self._changed:
            return self._queues.job_names()

    def maintain(self) -> bool:
        """Start a worker if ready alerts need one, and log dropped alerts; return False if no thread can be started."""
        with self._changed:
            dropped = self._queues.pop_dropped()
            is_short = not self._count.idle and self._queues.has_next()
            needs_worker = is_short and self._count.add_if_allowed()
        self._log.dropped(dropped, "full")
        if needs_worker:
            try:
                threading.Thread(target=self._work, name="alert", daemon=True).start()
            except RuntimeError:  # the host has no thread left
                with self._changed:
                    self._count.remove_idle()
        return not is_short or self._count.workers > 0

    def stop(self, seconds: float, poll: Callable[[], bool] = lambda: False) -> None:
        """Let alerts go on for `seconds`, then stop those that still run, and drop those in the queues.

        `poll` is called again and again meanwhile; it returns whether to hurry. Alerts that are stopped have their
        grace even in a hurry.
        """
        self._wait(self._queues.is_idle, seconds, poll)
        with self._changed:
            self._queues.close()
            still_active, dropped = tuple(self._active), self._queues.pop_dropped()
            self._changed.notify_all()
        for active in still_active:
            self._request_stop(active, "shutdown")
        self._log.dropped(dropped, "shutdown")
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
                self._count.idle += 1
            self.maintain()

    def _next(self) -> _ActiveAlert | None:
        """Take the next alert; return None after `IDLE_TIMEOUT_S` without one. The worker counts as idle before."""
        with self._changed:
            self._changed.wait_for(lambda: self._queues.is_closed or self._queues.has_next(), IDLE_TIMEOUT_S)
            due = self._queues.take()
            if due is None:
                self._count.remove_idle()
                return None
            self._count.idle -= 1
            active = _ActiveAlert(due, self._context(due), time.monotonic())
            self._active.add(active)
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
            if active in self._active and not active.is_long:
                active.is_long = True
                self._count.long += 1
        self.maintain()

    def _remove(self, active: _ActiveAlert) -> bool:
        """Remove an alert that is over, and make its job ready again; return False if it was removed before."""
        with self._changed:
            if active not in self._active:
                return False
            self._active.remove(active)
            self._queues.finish(active.due)
            self._count.long -= active.is_long
            self._changed.notify_all()
        return True

    # -- limits

    def _request_stop(self, active: _ActiveAlert, reason: str) -> None:
        if not active.context.stop_requested:
            self._timer.call_at(time.monotonic() + self._grace, partial(self._give_up, active))
        active.context.stop(reason, self._log.crash)

    def _give_up(self, active: _ActiveAlert) -> None:
        if self._remove(active):
            with self._changed:
                self._count.workers -= 1
            error = f"the task did not end within {self._grace:g} s of being asked to; its thread is lost"
            self._log_result(active, AttemptResult(details=(("error", error),)))
            self.maintain()

    def _log_result(self, active: _ActiveAlert, result: AttemptResult) -> None:
        reason = active.context.reason or result.reason
        duration = time.monotonic() - active.started_at
        self._log.result(active.due, result, reason, duration)
        if active.due.on_end is not None:
            active.due.on_end(AlertEnd(reason, result, duration))
