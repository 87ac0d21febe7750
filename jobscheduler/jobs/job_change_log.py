"""The lines of the log about a job that is added, updated, expired or removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobscheduler.jobs.source_state import TrackedSource
from jobscheduler.model import EventLogger, Job, Level, Once
from jobscheduler.timetable.definition_hash import hash_in_log

ZONE_RULES = "zone_rules"  # in `changed=` of a job whose zone has new rules
MAX_LATENCY = timedelta(minutes=1)  # ignore latencies above this: the change of the file did not cause this sync


class JobChangeLog:
    """Logs each change of a job once it is in force, and reports how long after its file it came.

    The first read of a source logs no job as added: the line about the start counts them. `moved` counts the jobs
    whose next slot new rules of their zone have moved.
    """

    def __init__(
        self, log_event: EventLogger, *, observe_latency: Callable[[float], object], now: Callable[[], datetime]
    ) -> None:
        """`observe_latency` gets the seconds from the change of a file to its effect."""
        self._log_event = log_event
        self._observe_latency = observe_latency
        self._now = now
        self.moved = 0

    def put(
        self,
        job: Job,
        former: Job | None,
        source: TrackedSource,
        next_before: datetime | None,
        next_after: datetime | None,
    ) -> None:
        """Log that a job was added, or that its definition was replaced if there was a `former` one."""
        if not source.is_new and job.modified_at is not None:
            self._report_latency(self._now() - job.modified_at)
        if former is not None:
            self._updated(job, ",".join(job.changed_fields(former)), next_before, next_after)
        elif not source.is_new:
            self._log_event(
                Level.INFO, "job.added", job_id=job.id, file=job.source_name, next=next_after, hash=hash_in_log(job)
            )

    def follows_new_rules(self, job: Job, next_before: datetime | None, next_after: datetime | None) -> None:
        """Log and count a job whose next slot new rules of its zone have moved; do nothing for others."""
        if next_before != next_after:
            self.moved += 1
            self._updated(job, ZONE_RULES, next_before, next_after)

    def expired(self, job: Job) -> None:
        """Log that a one-time job is over."""
        at = job.schedule.at if isinstance(job.schedule, Once) else None
        self._log_event(Level.WARNING, "job.expired", job_id=job.id, file=job.source_name, scheduled=at)

    def removed(self, job: Job) -> None:
        """Log that a job is no longer there."""
        self._log_event(Level.INFO, "job.removed", job_id=job.id, file=job.source_name, hash=hash_in_log(job))

    def _updated(self, job: Job, changed: str, next_before: datetime | None, next_after: datetime | None) -> None:
        self._log_event(
            Level.INFO,
            "job.updated",
            job_id=job.id,
            file=job.source_name,
            changed=changed,
            next_before=next_before,
            next_after=next_after,
            hash=hash_in_log(job),
        )

    def _report_latency(self, latency: timedelta) -> None:
        if timedelta(0) <= latency < MAX_LATENCY:
            self._observe_latency(latency.total_seconds())
