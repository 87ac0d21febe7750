"""Decide which alerts are sent now and which wait, so that neither a job nor a bad minute sends a storm (pure).

1. The change of a job is sent at once, and so is the recovery from that failure. Further changes within
   `MIN_ALERT_INTERVAL_S` of the last alert wait for its end. Then the latest is sent, with the number of changes since.
2. For each task `BURST_SIZE` alerts are sent one by one in `BURST_WINDOW_S`. The surplus makes one summary at its end.

Example: a job fails at 0 s, recovers at 1 s, and so on each second. Alerts are the failure at 0 s, the recovery at 1 s,
and at 301 s, 601 s, … the latest result, with some 300 changes each.

Time is an argument, in seconds of a clock that is never set.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from jobscheduler.alerts.rules import AlertKind, ResultChange
from jobscheduler.model import TaskSpec

MIN_ALERT_INTERVAL_S = 300.0  # between two alerts of a job that changes back and forth
BURST_SIZE = 20  # alerts for one task that are sent one by one in a window
BURST_WINDOW_S = 60.0


Batch = Sequence[ResultChange]  # sent as one alert for one task: one change, or a summary of several jobs


@dataclass(slots=True)
class _JobState:
    """The damping of a job: until when, whether a recovery may be sent at once, and the change that waits."""

    damped_until: float
    may_recover: bool
    pending: ResultChange | None = None
    changes: int = 0


@dataclass(slots=True)
class _Window:
    """The alerts for one task since `started_at`: the number sent, and the latest change of each further job."""

    started_at: float
    sent: int = 0
    surplus: dict[str, ResultChange] = field(default_factory=dict)


class Damper:
    """Decides which alerts are sent when. Thread: one thread, except for `waiting`."""

    def __init__(self) -> None:
        self._jobs: dict[str, _JobState] = {}
        self._windows: dict[TaskSpec, _Window] = {}
        self._ends_at: list[tuple[float, str]] = []  # a heap: when the pending change of a job is sent
        self._next_sweep = 0.0

    def add(self, change: ResultChange, now: float) -> list[Batch]:
        """Take a change; return the alerts to send now."""
        job = self._jobs.get(change.job_id)
        if job is None or (job.pending is None and now >= job.damped_until):
            self._jobs[change.job_id] = _JobState(now + MIN_ALERT_INTERVAL_S, change.kind.is_bad)
            return self._send(change, now)
        if job.pending is None and job.may_recover and change.kind is AlertKind.RECOVERY:
            self._jobs[change.job_id] = _JobState(now + MIN_ALERT_INTERVAL_S, may_recover=False)
            return self._send(replace(change, changes=1 + job.changes), now)
        if job.pending is None:
            heapq.heappush(self._ends_at, (job.damped_until, change.job_id))
        job.pending = change
        job.changes += 1
        return []

    def remind(self, reminder: ResultChange, now: float) -> list[Batch]:
        """Take a reminder, which is no change; it is left out while a change of its job waits."""
        job = self._jobs.get(reminder.job_id)
        return [] if job is not None and job.pending is not None else self._send(reminder, now)

    def count_without_alert(self, job_id: str) -> None:
        """Count a change without an alert task as one of those in between."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.changes += job.pending is not None

    def pop_due(self, now: float) -> list[Batch]:
        """Return the alerts whose wait is over."""
        batches: list[Batch] = []
        while self._ends_at and self._ends_at[0][0] <= now:
            _, job_id = heapq.heappop(self._ends_at)
            batches += self._send(self._release(job_id, now), now)
        for task, window in list(self._windows.items()):
            if window.started_at + BURST_WINDOW_S <= now:
                batches += self._close(task, window, now)
        self._sweep(now)
        return batches

    def pop_all(self, now: float) -> list[Batch]:
        """Return every alert that waits, because the service stops."""
        for _, job_id in self._ends_at:
            change = self._release(job_id, now)
            self._window(change.task, now).surplus[job_id] = change
        self._ends_at.clear()
        batches: list[Batch] = [tuple(window.surplus.values()) for window in self._windows.values() if window.surplus]
        self._windows.clear()
        return batches

    def next_at(self) -> float | None:
        """Return when the next alert is due, None if none waits."""
        ends = [window.started_at + BURST_WINDOW_S for window in self._windows.values() if window.surplus]
        return min([*ends, *(end for end, _ in self._ends_at[:1])], default=None)

    def waiting(self) -> list[str]:
        """Return the jobs with an alert that waits. For any thread."""
        jobs = [job_id for job_id, job in list(self._jobs.items()) if job.pending is not None]
        return [*jobs, *(job_id for window in list(self._windows.values()) for job_id in list(window.surplus))]

    def _release(self, job_id: str, now: float) -> ResultChange:
        job = self._jobs[job_id]
        assert job.pending is not None  # noqa: S101 - each job in the heap has a pending change
        change = replace(job.pending, changes=job.changes)
        self._jobs[job_id] = _JobState(
            now + MIN_ALERT_INTERVAL_S, may_recover=change.kind.is_bad and change.changes == 1
        )
        return change

    def _send(self, change: ResultChange, now: float) -> list[Batch]:
        """Send an alert now, or keep it for the summary of its window."""
        before: list[Batch] = []
        window = self._windows.get(change.task)
        if window is not None and window.started_at + BURST_WINDOW_S <= now:
            before = self._close(change.task, window, now)
        window = self._window(change.task, now)
        if window.sent < BURST_SIZE:
            window.sent += 1
            return [*before, (change,)]
        former = window.surplus.pop(change.job_id, None)
        window.surplus[change.job_id] = (
            change if former is None else replace(change, changes=change.changes + former.changes)
        )
        return before

    def _window(self, task: TaskSpec, now: float) -> _Window:
        return self._windows.setdefault(task, _Window(now))

    def _close(self, task: TaskSpec, window: _Window, now: float) -> list[Batch]:
        """Close a window; its summary is the first alert of the next one."""
        del self._windows[task]
        if not window.surplus:
            return []
        self._windows[task] = _Window(now, sent=1)
        return [tuple(window.surplus.values())]

    def _sweep(self, now: float) -> None:
        """Drop the state of jobs that are no longer damped, once in a window."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + BURST_WINDOW_S
        for job_id in [name for name, job in self._jobs.items() if job.pending is None and job.damped_until <= now]:
            del self._jobs[job_id]
