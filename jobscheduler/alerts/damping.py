"""Which alerts are given now and which wait, so that neither a job nor a bad minute sends a storm (pure).

1. A job is told at once when it changes, and so is the recovery from that failure. Further changes within `DAMPED_S` of
   the last alert wait for the end of that time: then the latest is told, with the number of changes since.
2. Of the alerts for one task `BURST` a minute are given each for itself; those beyond make one summary at its end.

Example: a job fails at 0 s, recovers at 1 s, and so on each second. Told are the failure at 0 s, the recovery at 1 s,
and at 301 s, 601 s, … the latest result, with some 300 changes each.

Time is an argument, in seconds of a clock that is never set.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from jobscheduler.alerts.rules import AlertKind
from jobscheduler.model import Record, TaskSpec

MIN_ALERT_INTERVAL_S = 300.0  # between two alerts of a job that changes back and forth
BURST_SIZE = 20  # alerts for one task that are given each for itself within `BURST_S`
BURST_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class ResultChange:
    """One change of a job's result that is to be told: `changes` of them, if it stands for several."""

    task: TaskSpec
    kind: AlertKind
    record: Record
    description: str = ""
    changes: int = 1

    @property
    def job_id(self) -> str:
        """The job that it is about."""
        return self.record.job_id


Batch = Sequence[ResultChange]
"""What is told at once for one task: one change, or several jobs' in a summary."""


@dataclass(slots=True)
class _JobState:
    """When a job was told, whether the recovery from that may follow at once, and what waits."""

    damped_until: float
    may_recover: bool
    pending: ResultChange | None = None
    changes: int = 0


@dataclass(slots=True)
class _Window:
    """The alerts for one task since `began`: how many were given, and the latest of each job beyond them."""

    started_at: float
    sent: int = 0
    surplus: dict[str, ResultChange] = field(default_factory=dict)


class Damper:
    """Decides what is told when. Not for several threads at once, but for `waiting`."""

    def __init__(self) -> None:
        self._jobs: dict[str, _JobState] = {}
        self._windows: dict[TaskSpec, _Window] = {}
        self._ends_at: list[tuple[float, str]] = []  # a heap: when what is held of a job is told
        self._next_sweep = 0.0

    def add(self, news: ResultChange, now: float) -> list[Batch]:
        """Take a change; return what is told at once."""
        job = self._jobs.get(news.job_id)
        if job is None or (job.pending is None and now >= job.damped_until):
            self._jobs[news.job_id] = _JobState(now + MIN_ALERT_INTERVAL_S, news.kind is AlertKind.FAILURE)
            return self._send(news, now)
        if job.pending is None and job.may_recover and news.kind is AlertKind.RECOVERY:
            self._jobs[news.job_id] = _JobState(now + MIN_ALERT_INTERVAL_S, may_recover=False)
            return self._send(replace(news, changes=1 + job.changes), now)
        if job.pending is None:
            heapq.heappush(self._ends_at, (job.damped_until, news.job_id))
        job.pending = news
        job.changes += 1
        return []

    def note_sent(self, job_id: str) -> None:
        """Count a change for which there is no task: it is one of those in between."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.changes += job.pending is not None

    def pop_due(self, now: float) -> list[Batch]:
        """Return what has waited long enough."""
        batches: list[Batch] = []
        while self._ends_at and self._ends_at[0][0] <= now:
            _, job_id = heapq.heappop(self._ends_at)
            batches += self._send(self._released(job_id, now), now)
        for task, minute in list(self._windows.items()):
            if minute.started_at + BURST_WINDOW_S <= now:
                batches += self._closed(task, minute, now)
        self._forget(now)
        return batches

    def pop_all(self, now: float) -> list[Batch]:
        """Return everything that waits: the service stops."""
        for _, job_id in self._ends_at:
            news = self._released(job_id, now)
            self._window(news.task, now).surplus[job_id] = news
        self._ends_at.clear()
        batches: list[Batch] = [tuple(minute.surplus.values()) for minute in self._windows.values() if minute.surplus]
        self._windows.clear()
        return batches

    def next_at(self) -> float | None:
        """Return when something is due next, None if nothing waits."""
        ends = [minute.started_at + BURST_WINDOW_S for minute in self._windows.values() if minute.surplus]
        return min([*ends, *(end for end, _ in self._ends_at[:1])], default=None)

    def waiting(self) -> list[str]:
        """Return the jobs of which something waits. For any thread."""
        jobs = [job_id for job_id, job in list(self._jobs.items()) if job.pending is not None]
        return [*jobs, *(job_id for minute in list(self._windows.values()) for job_id in list(minute.surplus))]

    def _released(self, job_id: str, now: float) -> ResultChange:
        job = self._jobs[job_id]
        assert job.pending is not None  # noqa: S101 - what is in the heap is held
        news = replace(job.pending, changes=job.changes)
        self._jobs[job_id] = _JobState(
            now + MIN_ALERT_INTERVAL_S, may_recover=news.kind is AlertKind.FAILURE and news.changes == 1
        )
        return news

    def _send(self, news: ResultChange, now: float) -> list[Batch]:
        """Give an alert now, or keep it for the summary of its minute."""
        before: list[Batch] = []
        minute = self._windows.get(news.task)
        if minute is not None and minute.started_at + BURST_WINDOW_S <= now:
            before = self._closed(news.task, minute, now)
        minute = self._window(news.task, now)
        if minute.sent < BURST_SIZE:
            minute.sent += 1
            return [*before, (news,)]
        former = minute.surplus.pop(news.job_id, None)
        minute.surplus[news.job_id] = news if former is None else replace(news, changes=news.changes + former.changes)
        return before

    def _window(self, task: TaskSpec, now: float) -> _Window:
        return self._windows.setdefault(task, _Window(now))

    def _closed(self, task: TaskSpec, minute: _Window, now: float) -> list[Batch]:
        """End a minute; its summary is the first alert of the next one."""
        del self._windows[task]
        if not minute.surplus:
            return []
        self._windows[task] = _Window(now, sent=1)
        return [tuple(minute.surplus.values())]

    def _forget(self, now: float) -> None:
        """Let go of jobs that have been quiet, once in a while."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + BURST_WINDOW_S
        for job_id in [one for one, job in self._jobs.items() if job.pending is None and job.damped_until <= now]:
            del self._jobs[job_id]
