"""Apply a plan to the schedule, and have each change of a job logged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Protocol

from jobscheduler.jobs.job_change_log import JobChangeLog
from jobscheduler.jobs.plan import is_past, make_plan
from jobscheduler.jobs.source_state import FirstReadState, TrackedSource
from jobscheduler.model import Cron, Job


class Schedule(Protocol):
    """As much of the scheduler as a sync needs."""

    def put(self, job: Job, now: datetime, *, is_first_sync: bool) -> datetime | None:
        """Make a job active, or replace its definition; return its next slot."""

    def drop(self, job_id: str, now: datetime) -> None:
        """Make a job inactive; do nothing if it is not active."""

    def source_changed(self, job_id: str, now: datetime) -> None:
        """Note that another file holds the same definition."""

    def expire(self, job: Job, now: datetime) -> bool:
        """Account for the slot of a one-time job that is over; return whether it got a record just now."""

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of a job."""


class Stopping(Exception):
    """The service stops: the rest of a sync would only delay that."""


class ScheduleUpdater:
    """Knows which definitions were applied, and applies the difference to the desired ones.

    Invariant: `applied` holds only what succeeded, so the next plan contains what failed.
    Lock: the caller holds that of the reconciler. Any thread may read `applied` and `changes`.
    """

    def __init__(
        self,
        schedule: Schedule,
        log: JobChangeLog,
        source_of: Callable[[str], TrackedSource],
        *,
        now: Callable[[], datetime],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._schedule = schedule
        self._log = log
        self._source_of = source_of
        self._now = now
        self._is_stopping = is_stopping
        self.applied: dict[str, Job] = {}
        self.changes = 0
        self._unapplied: set[str] = set()
        self._expired: set[str] = set()
        self._outdated: set[str] = set()  # jobs that follow former rules of their zone

    @property
    def moved(self) -> int:
        """How many jobs have got another next slot by new rules of their zone."""
        return self._log.moved

    def forget_unexpired(self) -> bool:
        """Forget expired one-time jobs that are in the future again, so that they are put; return whether any is."""
        now = self._now()
        for job_id in [job_id for job_id in self._expired if not is_past(self.applied[job_id], now)]:
            self._expired.discard(job_id)
            del self.applied[job_id]
            self._unapplied.add(job_id)
        return bool(self._unapplied)

    def expired(self) -> list[Job]:
        """Return the one-time jobs that are over."""
        return [self.applied[job_id] for job_id in self._expired]

    def note_new_rules(self, zones: Collection[str]) -> None:
        """Have the next sync apply the new rules of these zones to their jobs. Instants are parsed again anyway."""
        self._outdated.update(
            job.id for job in self.applied.values() if isinstance(job.schedule, Cron) and job.schedule.timezone in zones
        )

    def put_jittered(self) -> None:
        """Put the jobs with `jitter` again, as they are: their slots start at other moments from now on."""
        now = self._now()
        for job in [job for job in self.applied.values() if job.jitter and job.id not in self._expired]:
            self._schedule.put(job, now, is_first_sync=False)
            self.changes += 1

    def apply(self, desired: Mapping[str, Job], changed_ids: Iterable[str], *, everything: bool) -> None:
        """Apply the difference for these ids and those that failed before, or for all ids.

        Raises:
            Stopping: the service stops.
            Exception: the first of those that kept a job from being put or dropped. The other jobs were applied.

        """
        now = self._now()
        self._unapplied.update(changed_ids)
        ids: Iterable[str] = self._unapplied
        if everything:
            ids = () if desired == self.applied else desired.keys() | self.applied.keys()
        plan = make_plan(desired, self.applied, now, ids)
        steps = [
            *(partial(self._drop, job_id, now) for job_id in plan.drop),
            *(partial(self._put, job, now) for job in plan.put),
            *(partial(self._expire, job, now) for job in plan.expire),
        ]
        steps += [
            partial(self._follow_new_rules, job_id, now)
            for job_id in sorted(self._outdated - {job.id for job in plan.put} - {*plan.drop})
        ]
        errors: list[Exception] = []
        for step in steps:
            if self._is_stopping():
                raise Stopping
            try:
                step()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        self._update_source_names(desired, now)
        self._unapplied.clear()
        self._outdated.clear()

    def _follow_new_rules(self, job_id: str, now: datetime) -> None:
        """Compute the slots of an unchanged job from now on with the new rules of its zone; log it if the next moves.

        What was decided stays decided.
        """
        job = self.applied.get(job_id)
        if job is None:
            return
        next_before = self._schedule.next_slot(job_id)
        next_after = self._schedule.put(job, now, is_first_sync=False)
        self.changes += 1  # so that a checkpoint follows, which has the rules
        self._log.follows_new_rules(job, next_before, next_after)

    def _update_source_names(self, desired: Mapping[str, Job], now: datetime) -> None:
        """Note which files hold the definitions now. Renaming a file changes nothing else."""
        for job_id in self._unapplied:
            job, applied = desired.get(job_id), self.applied.get(job_id)
            if job is not None and job is not applied:
                self.applied[job_id] = job
                if applied is not None and job.modified_at != applied.modified_at:
                    self._schedule.source_changed(job_id, now)

    def _put(self, job: Job, now: datetime) -> None:
        before = self.applied.get(job.id)
        next_before = self._schedule.next_slot(job.id) if before else None
        source = self._source_of(job.source_name)
        next_slot = self._schedule.put(job, now, is_first_sync=source.first_read is not FirstReadState.READ)
        self._note_applied(job)
        self._expired.discard(job.id)
        self._log.put(job, before, source, next_before, next_slot)

    def _note_applied(self, job: Job) -> None:
        self.applied[job.id] = job
        self.changes += 1

    def _expire(self, job: Job, now: datetime) -> None:
        """Account for a one-time job that is over. Log it once, and not at all if the same job was active before."""
        before = self.applied.get(job.id)
        if before is not None:
            self._schedule.drop(job.id, now)
        has_record = self._schedule.expire(job, now)
        self._note_applied(job)
        self._expired.add(job.id)
        if not has_record and (before is None or before.schedule != job.schedule):
            self._log.expired(job)

    def _drop(self, job_id: str, now: datetime) -> None:
        self._schedule.drop(job_id, now)
        job = self.applied.pop(job_id)
        self._expired.discard(job_id)
        self.changes += 1
        self._log.removed(job)
