"""Remembers the runtime states of idle jobs: the next slot of a job is the same until its next decision."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from jobscheduler.model import Job, PauseIndex
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.status.snapshot import JobRuntime
from jobscheduler.timetable.timetable import Timetable

_Parts = tuple[Job, Timetable, datetime, ClockSetbackState, bool, PauseIndex]


class RuntimeMemory:
    """The last runtime state of each job that was idle and not paused, with all that it was made of.

    Thread: any; each call is one look into a dictionary, or one change of it.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[_Parts, JobRuntime]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def forget_all_but(self, job_ids: Container[str]) -> None:
        """Forget the jobs that are gone."""
        self._known = {job_id: known for job_id, known in self._known.items() if job_id in job_ids}

    def runtime_of(self, entry: JobEntry, pauses: PauseIndex) -> JobRuntime | None:
        """Return the remembered state of a job, None if anything is different now."""
        known = self._known.get(entry.job.id)
        if known is None or not entry.is_idle:
            return None
        job, timetable, cursor, setback, is_active, index = known[0]
        is_same = (
            entry.cursor is cursor
            and entry.job is job
            and entry.timetable is timetable
            and entry.setback is setback
            and entry.is_active is is_active
            and pauses is index
        )
        return known[1] if is_same else None

    def keep(self, entry: JobEntry, runtime: JobRuntime, pauses: PauseIndex) -> JobRuntime:
        """Remember the state of a job, unless it has runs or a pause, whose end is a matter of time; return it."""
        job = entry.job
        if runtime.active_runs or pauses.of(job.id, job.tags):
            self._known.pop(job.id, None)
        else:
            parts = job, entry.timetable, entry.cursor, entry.setback, entry.is_active, pauses
            self._known[job.id] = parts, runtime
        return runtime
