"""Remembers the last decided slot of each job, also of jobs that were removed.

APScheduler's store cannot serve for this: a one-time job that has fired leaves it. Lock: the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobscheduler.model import EPOCH
from jobscheduler.model.checkpoint import REOPENABLE_REASONS
from jobscheduler.scheduler.clock_setback import (
    CLOCK_MEMORY_S,
    NO_SETBACK,
    ClockSetbackState,
    cursor_passed,
    state_set_back,
)
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.timetable.decision import MissedSlots
from jobscheduler.util.time_spans import TICK

REMOVED_JOB_MEMORY = timedelta(days=2)  # beyond its `catch_up`; a deleted job that comes back must not run a slot twice

_MAX_MEMORY = timedelta(days=400)
_SWEEP_AFTER = 1000  # removed jobs remembered before the first sweep


@dataclass(frozen=True, slots=True)
class RemovedJob:
    """The memory of a removed job until an instant, besides its last slot."""

    until: datetime
    since: datetime
    setback: ClockSetbackState


class SlotMemory:
    """The last decided slot of each job (`last`), and removed jobs for as long as that slot matters."""

    def __init__(self) -> None:
        self.last: dict[str, datetime] = {}
        self._removed: dict[str, RemovedJob] = {}
        self._sweep_at = _SWEEP_AFTER

    def last_decided(self, job_id: str) -> datetime:
        """Return the last decided slot of a job; the epoch if there is none."""
        return self.last.get(job_id, EPOCH)

    def note_decided(self, job_id: str, slot: datetime) -> None:
        """Note that a slot was decided, by this process or a former one."""
        if slot > self.last_decided(job_id):
            self.last[job_id] = slot

    def forget(self) -> None:
        """Forget all slots and jobs."""
        self.last.clear()
        self._removed.clear()

    def is_removed(self, job_id: str) -> bool:
        """Return whether a job was removed and is remembered."""
        return job_id in self._removed

    def removed_jobs(self) -> Iterable[tuple[str, RemovedJob]]:
        """Return the removed jobs that are remembered, by id."""
        return self._removed.items()

    def take_removed(self, job_id: str) -> RemovedJob | None:
        """Return the memory of a removed job that comes back, if there is one."""
        return self._removed.pop(job_id, None)

    def remember_removed(self, entry: JobEntry, now: datetime) -> None:
        """Keep the last slot of a removed job for as long as it could run again, and forget those that cannot."""
        until = now + REMOVED_JOB_MEMORY + min(timedelta(seconds=min(entry.job.catch_up, 1e9)), _MAX_MEMORY)
        until = max([until, *(last + REMOVED_JOB_MEMORY for _, last in entry.setback.decided)])
        self._removed[entry.job.id] = RemovedJob(until, entry.since, entry.setback)
        if len(self._removed) < self._sweep_at:
            return
        for job_id in [job_id for job_id, removed in self._removed.items() if removed.until < now]:
            del self._removed[job_id]
            self.last.pop(job_id, None)
        self._sweep_at = 2 * len(self._removed) + _SWEEP_AFTER

    def remember_missed(self, job_id: str, missed: MissedSlots, now: datetime, elapsed: float) -> None:
        """Remember the missed slot of an expired one-time job: if the clock is set back, it may run."""
        self.last[job_id] = missed.last
        reopenable = [(missed.first, missed.last)] if missed.reason in REOPENABLE_REASONS else []
        ahead = cursor_passed(NO_SETBACK, missed.last, reopenable, elapsed + CLOCK_MEMORY_S)
        self._removed[job_id] = RemovedJob(now + REMOVED_JOB_MEMORY, missed.first - TICK, ahead)

    def remember_absent(self, job_id: str, since: datetime, ahead: ClockSetbackState, now: datetime) -> None:
        """Remember a job of a former service that is not active: its slots up to now are decided."""
        if not ahead:
            return
        self.note_decided(job_id, max((span.last for span in ahead.missed if span.last <= now), default=EPOCH))
        self._removed[job_id] = RemovedJob(now + REMOVED_JOB_MEMORY, since, cursor_passed(ahead, now, (), 0.0))

    def clock_set_back(self, now: datetime, elapsed: float) -> None:
        """Rewind to `now`. What was decided stays decided, except for slots that were only missed."""
        for job_id, removed in self._removed.items():
            last = self.last_decided(job_id)
            since, ahead = state_set_back(removed.since, last, removed.setback, now, elapsed)
            self._removed[job_id] = replace(removed, since=since, setback=ahead)
        self.last = {job_id: min(slot, now) for job_id, slot in self.last.items()}
