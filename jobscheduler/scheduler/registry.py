"""Registry of jobs: the active ones, and how far the slots of each are decided.

Lock: the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from jobscheduler.model import EPOCH, Job, Once, Record
from jobscheduler.model.checkpoint import REOPENABLE_REASONS
from jobscheduler.runner import Run
from jobscheduler.scheduler.clock_setback import (
    CLOCK_MEMORY_S,
    NO_SETBACK,
    cursor_passed,
    state_set_back,
)
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.pauses import Pauses
from jobscheduler.scheduler.slot_memory import SlotMemory
from jobscheduler.timetable.decision import Decision, MissedSlots
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.overlap import JobSituation
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, TimeSpan, clip


class JobRegistry:
    """All jobs that are active or have a run, how far their slots are decided, and the memory of that.

    - `pauses`: what selects the jobs whose slots are skipped; a job need not be active for that.
    - `being_added`: active jobs without a wake-up yet.
    - `jobs_with_unkillable`: jobs with runs whose processes could not be killed.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """`elapsed` returns seconds of a clock that is never set."""
        self.jobs: dict[str, JobEntry] = {}
        self.pauses = Pauses(elapsed)
        self._elapsed = elapsed
        self.being_added: set[str] = set()
        self.jobs_with_unkillable: set[str] = set()
        self.memory = SlotMemory()
        self._jittered: set[str] = set()

    # -- jobs

    def get(self, job_id: str) -> JobEntry | None:
        """Return the entry of a job that is active, or has an active run."""
        return self.jobs.get(job_id)

    def get_or_create(self, job: Job, timetable: Timetable, now: datetime) -> JobEntry:
        """Return the entry of a job, a new one if there is none; a removed job comes back."""
        removed = self.memory.take_removed(job.id)
        known = self.jobs.get(job.id)
        if known is not None and known.is_new:
            known.is_new, known.since = False, now
        if known is None:
            since, ahead = (removed.since, removed.setback) if removed else (now, NO_SETBACK)
            known = self.jobs[job.id] = JobEntry(job, timetable, self.initial_cursor(job, now), since, setback=ahead)
        return known

    def is_new(self, job_id: str) -> bool:
        """Return whether a job is new to this process, or since it began to lead."""
        entry = self.jobs.get(job_id)
        return (entry is None or entry.is_new) and not self.memory.is_removed(job_id)

    def set_definition(self, entry: JobEntry, job: Job, timetable: Timetable) -> None:
        """Replace the definition of an entry."""
        entry.job, entry.timetable, entry.is_active, entry.definition_hash = job, timetable, True, definition_hash(job)
        (self._jittered.add if job.jitter else self._jittered.discard)(job.id)

    def remove(self, entry: JobEntry, now: datetime) -> None:
        """Deactivate a definition and remember its last slot."""
        job = entry.job
        self._jittered.discard(job.id)
        entry.is_active = False
        self.discard_if_unused(entry)
        self.memory.remember_removed(entry, now)

    def discard_if_unused(self, entry: JobEntry) -> None:
        """Remove an entry that is neither active nor has a run."""
        if entry.is_idle and not entry.is_active:
            del self.jobs[entry.job.id]

    def run_ended(self, record: Record) -> Run | None:
        """Remove the run that has this record; return the queued run if it may begin now."""
        entry = self.jobs.get(record.job_id)
        if entry is None:
            return None
        queued = entry.run_ended(record.run_id or "")
        if entry.unkillable_runs:
            self.jobs_with_unkillable.add(record.job_id)
        self.discard_if_unused(entry)
        return queued

    def situation(self, entry: JobEntry) -> JobSituation:
        """Return the circumstances under which the slots of a job are decided."""
        pauses = self.pauses.index
        return entry.situation(pauses.paused_until(entry.job.id, entry.job.tags) if pauses else None)

    def entries(self, job_ids: Iterable[str] | None) -> list[JobEntry]:
        """Return the entries of these jobs, without unknown ones, or of all jobs."""
        jobs = self.jobs
        return list(jobs.values()) if job_ids is None else [jobs[job_id] for job_id in job_ids if job_id in jobs]

    # -- decided slots

    def decide(self, entry: JobEntry, cursor: datetime) -> None:
        """Note that the slots of a job are decided up to `cursor`."""
        entry.cursor = self.memory.last[entry.job.id] = cursor

    def apply(self, entry: JobEntry, decision: Decision) -> None:
        """Note a decision about a job."""
        self.decide(entry, decision.cursor)
        if decision.missed or entry.setback is not NO_SETBACK:
            self._advance(entry, decision, self._elapsed() + CLOCK_MEMORY_S)

    def remember_missed(self, job_id: str, missed: MissedSlots, now: datetime) -> None:
        """Remember the missed slots of a job that is not active: if the clock is set back, they may run."""
        self.memory.remember_missed(job_id, missed, now, self._elapsed())

    def _advance(self, entry: JobEntry, decision: Decision, open_until: float) -> None:
        """Remember the missed slots: if the clock is set back, they may run."""
        first = min((slot - TICK for slot, _ in decision.actions), default=decision.cursor)
        reopened = clip(entry.setback.reopened, EPOCH, first)
        missed_again = (span for span in reopened if _has_slot(entry.timetable, span))
        newly_missed = ((m.first, m.last) for m in decision.missed if m.reason in REOPENABLE_REASONS)
        missed = [*missed_again, *newly_missed]
        entry.setback = cursor_passed(entry.setback, decision.cursor, missed, open_until) or NO_SETBACK

    def initial_cursor(self, job: Job, now: datetime) -> datetime:
        """Return the cursor of a new definition: slots count from now on, none twice; a one-time slot always counts."""
        last = self.memory.last_decided(job.id)
        return last if isinstance(job.schedule, Once) else max(now, last)

    def pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the due slot that waits for its jitter, if there is one; jitter ends before the next slot."""
        if entry.job.jitter <= 0 or not entry.is_schedulable:
            return None
        slot = entry.next()
        if slot is None or slot > now:
            return None
        self.decide(entry, slot)
        return slot

    # -- a clock that was set back

    def clock_set_back(self, now: datetime) -> list[JobEntry]:
        """Rewind to `now`; return the active jobs with decided slots after that.

        What was decided stays decided, except for slots that were only missed.
        """
        rewound = [entry for entry in self.jobs.values() if entry.cursor > now]
        elapsed = self._elapsed()
        for entry in rewound:
            entry.since, entry.setback = state_set_back(entry.since, entry.cursor, entry.setback, now, elapsed)
            entry.cursor = now
        self.memory.clock_set_back(now, elapsed)
        return [entry for entry in rewound if entry.is_schedulable]

    def jobs_behind_clock(self) -> list[tuple[Timetable, tuple[TimeSpan, ...]]]:
        """Return timetable and decided future spans of each job that has such spans."""
        entries = self.jobs.values()
        return [
            (entry.timetable, entry.setback.decided)
            for entry in entries
            if entry.setback.decided and entry.is_schedulable
        ]

    # -- for the checkpoint

    def maybe_lagging(self, due: Iterable[str]) -> list[JobEntry]:
        """Return the entries of jobs that may have due slots without a decision; `due` have a wake-up that has come."""
        undecided = {*self.being_added, *due, *self._jittered}
        return [self.jobs[job_id] for job_id in undecided if job_id in self.jobs]

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Return the active and the queued runs, each with the id of its job."""
        for job_id, entry in self.jobs.items():
            for run in entry.active_runs:
                yield job_id, run
            if entry.queued_run is not None:
                yield job_id, entry.queued_run


def _has_slot(timetable: Timetable, span: TimeSpan) -> bool:
    slot = timetable.next(span[0] - TICK)
    return slot is not None and slot <= span[1]
