"""Plan what has to change to bring the schedule in line with the definitions. Pure; its tests are its truth table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobscheduler.model import Job, Once


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs to `put` on the schedule, ids to `drop`, and one-time jobs to `expire`, whose slot is over."""

    put: tuple[Job, ...] = ()
    drop: tuple[str, ...] = ()
    expire: tuple[Job, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.drop or self.expire)


def make_plan(desired: Mapping[str, Job], applied: Mapping[str, Job], now: datetime, ids: Iterable[str]) -> Plan:
    """Compare the desired definitions with the applied ones, for the given ids.

    A one-time job that first appears when its instant is further in the past than its `catch_up` is expired, not put.
    A job that was applied before is put again when it changes: the scheduler knows whether its slot already ran.
    """
    replaced = [job_id for job_id in ids if desired.get(job_id) is not applied.get(job_id)]  # few of thousands
    changed_ids = sorted(job_id for job_id in replaced if desired.get(job_id) != applied.get(job_id))
    changed = [desired[job_id] for job_id in changed_ids if job_id in desired]
    return Plan(
        put=tuple(job for job in changed if not is_past(job, now)),
        expire=tuple(job for job in changed if is_past(job, now)),
        drop=tuple(job_id for job_id in changed_ids if job_id not in desired),
    )


def is_past(job: Job, now: datetime) -> bool:
    """Return whether the only slot of a job is too long ago for its `catch_up`."""
    if not isinstance(job.schedule, Once):
        return False
    return job.schedule.at + timedelta(seconds=job.jitter) + timedelta(seconds=job.catch_up) < now
