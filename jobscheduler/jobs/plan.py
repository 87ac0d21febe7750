"""What has to change so that the schedule is what the definitions say. Pure; its tests are its truth table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobscheduler.model import Job, Once


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `put` these definitions in force, `drop` these ids, and take note of those that `expire`d unrun."""

    put: tuple[Job, ...] = ()
    drop: tuple[str, ...] = ()
    expire: tuple[Job, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.drop or self.expire)


def make_plan(desired: Mapping[str, Job], applied: Mapping[str, Job], now: datetime, ids: Iterable[str]) -> Plan:
    """Compare what is desired with what was applied, for the given ids.

    A one-time job that first appears when its instant is further in the past than its `catch_up` is expired, not
    put. One that was applied before is put again when it changes: whether its slot already ran is for the
    scheduler to know.
    """
    others = [job_id for job_id in ids if desired.get(job_id) is not applied.get(job_id)]  # few, of thousands
    wanted = sorted(job_id for job_id in others if desired.get(job_id) != applied.get(job_id))
    changed = [desired[job_id] for job_id in wanted if job_id in desired]
    return Plan(
        put=tuple(job for job in changed if not is_past(job, now)),
        expire=tuple(job for job in changed if is_past(job, now)),
        drop=tuple(job_id for job_id in wanted if job_id not in desired),
    )


def is_past(job: Job, now: datetime) -> bool:
    """Tell whether a job's only slot is too long ago to be caught up."""
    if not isinstance(job.schedule, Once):
        return False
    return job.schedule.at + timedelta(seconds=job.jitter) + timedelta(seconds=job.catch_up) < now
