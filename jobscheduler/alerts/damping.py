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

from jobscheduler.alerts.rules import On
from jobscheduler.model import Record, TaskSpec

DAMPED_S = 300.0  # between two alerts of a job that changes back and forth
BURST = 20  # alerts for one task that are given each for itself within `BURST_S`
BURST_S = 60.0


@dataclass(frozen=True, slots=True)
class News:
    """One change of a job's result that is to be told: `changes` of them, if it stands for several."""

    task: TaskSpec
    on: On
    record: Record
    description: str = ""
    changes: int = 1

    @property
    def job_id(self) -> str:
        """The job that it is about."""
        return self.record.job_id


Batch = Sequence[News]
"""What is told at once for one task: one change, or several jobs' in a summary."""


@dataclass(slots=True)
class _Job:
    """When a job was told, whether the recovery from that may follow at once, and what waits."""

    until: float
    may_recover: bool
    held: News | None = None
    changes: int = 0


@dataclass(slots=True)
class _Minute:
    """The alerts for one task since `began`: how many were given, and the latest of each job beyond them."""

    began: float
    given: int = 0
    beyond: dict[str, News] = field(default_factory=dict)


class Damper:
    """Decides what is told when. Not for several threads at once, but for `waiting`."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._minutes: dict[TaskSpec, _Minute] = {}
        self._ends: list[tuple[float, str]] = []  # a heap: when what is held of a job is told
        self._next_sweep = 0.0

    def take(self, news: News, now: float) -> list[Batch]:
        """Take a change; return what is told at once."""
        job = self._jobs.get(news.job_id)
        if job is None or (job.held is None and now >= job.until):
            self._jobs[news.job_id] = _Job(now + DAMPED_S, news.on is On.FAILURE)
            return self._give(news, now)
        if job.held is None and job.may_recover and news.on is On.RECOVERY:
            self._jobs[news.job_id] = _Job(now + DAMPED_S, may_recover=False)
            return self._give(replace(news, changes=1 + job.changes), now)
        if job.held is None:
            heapq.heappush(self._ends, (job.until, news.job_id))
        job.held = news
        job.changes += 1
        return []

    def note(self, job_id: str) -> None:
        """Count a change for which there is no task: it is one of those in between."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.changes += job.held is not None

    def due(self, now: float) -> list[Batch]:
        """Return what has waited long enough."""
        batches: list[Batch] = []
        while self._ends and self._ends[0][0] <= now:
            _, job_id = heapq.heappop(self._ends)
            batches += self._give(self._released(job_id, now), now)
        for task, minute in list(self._minutes.items()):
            if minute.began + BURST_S <= now:
                batches += self._closed(task, minute, now)
        self._forget(now)
        return batches

    def all(self, now: float) -> list[Batch]:
        """Return everything that waits: the service stops."""
        for _, job_id in self._ends:
            news = self._released(job_id, now)
            self._minute(news.task, now).beyond[job_id] = news
        self._ends.clear()
        batches: list[Batch] = [tuple(minute.beyond.values()) for minute in self._minutes.values() if minute.beyond]
        self._minutes.clear()
        return batches

    def next_at(self) -> float | None:
        """Return when something is due next, None if nothing waits."""
        ends = [minute.began + BURST_S for minute in self._minutes.values() if minute.beyond]
        return min([*ends, *(end for end, _ in self._ends[:1])], default=None)

    def waiting(self) -> list[str]:
        """Return the jobs of which something waits. For any thread."""
        jobs = [job_id for job_id, job in list(self._jobs.items()) if job.held is not None]
        return [*jobs, *(job_id for minute in list(self._minutes.values()) for job_id in list(minute.beyond))]

    def _released(self, job_id: str, now: float) -> News:
        job = self._jobs[job_id]
        assert job.held is not None  # noqa: S101 - what is in the heap is held
        news = replace(job.held, changes=job.changes)
        self._jobs[job_id] = _Job(now + DAMPED_S, may_recover=news.on is On.FAILURE and news.changes == 1)
        return news

    def _give(self, news: News, now: float) -> list[Batch]:
        """Give an alert now, or keep it for the summary of its minute."""
        before: list[Batch] = []
        minute = self._minutes.get(news.task)
        if minute is not None and minute.began + BURST_S <= now:
            before = self._closed(news.task, minute, now)
        minute = self._minute(news.task, now)
        if minute.given < BURST:
            minute.given += 1
            return [*before, (news,)]
        former = minute.beyond.pop(news.job_id, None)
        minute.beyond[news.job_id] = news if former is None else replace(news, changes=news.changes + former.changes)
        return before

    def _minute(self, task: TaskSpec, now: float) -> _Minute:
        return self._minutes.setdefault(task, _Minute(now))

    def _closed(self, task: TaskSpec, minute: _Minute, now: float) -> list[Batch]:
        """End a minute; its summary is the first alert of the next one."""
        del self._minutes[task]
        if not minute.beyond:
            return []
        self._minutes[task] = _Minute(now, given=1)
        return [tuple(minute.beyond.values())]

    def _forget(self, now: float) -> None:
        """Let go of jobs that have been quiet, once in a while."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + BURST_S
        for job_id in [one for one, job in self._jobs.items() if job.held is None and job.until <= now]:
            del self._jobs[job_id]
