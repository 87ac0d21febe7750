"""Keeps the pending slots of the former service: slots that were decided to run and had not begun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.runner import kill_leftovers
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.former_service import FormerService
from jobscheduler.scheduler.records import CORRECTS, interrupted_record, missed_record
from jobscheduler.timetable.decision import MissedSlots
from jobscheduler.util.time_spans import TimeSpan


class PendingSlots:
    """The pending slots that have no record yet, by job, and the slots that got their record at this start.

    Lock: none of its own. One sync at a time uses it.
    """

    def __init__(self, former: FormerService, accounting: Accounting) -> None:
        self._former = former
        self._accounting = accounting
        self._pending: dict[str, list[datetime]] = {}
        self._closed: dict[str, list[datetime]] = {}
        for job_id, slot in former.state.pending:
            self._pending.setdefault(job_id, []).append(slot)

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job has a pending slot."""
        return job_id in self._pending

    def take(self, job_id: str) -> list[datetime]:
        """Return the pending slots of a job, to be decided by the caller."""
        return self._pending.pop(job_id, [])

    def closed(self, job_id: str) -> list[TimeSpan]:
        """Return the slots of a job that got their record at this start."""
        return [(slot, slot) for slot in self._closed.get(job_id, ())]

    def later_than(self, now: datetime, job_id: str, *, corrects: bool = False) -> list[TimeSpan]:
        """Return the pending slots of a job later than `now`: they have no record, and are due again.

        With `corrects`, return only those that a wrong clock missed before; their lines say so when they run.
        """
        if job_id not in self._pending:
            return []
        later = [slot for slot in self._pending.get(job_id, ()) if slot > now]
        return [(slot, slot) for slot in later if not corrects or self._former.is_corrected(job_id, slot)]

    def fail_interrupted(self, now: datetime) -> None:
        """Kill the processes of runs that a crash interrupted, and write the records of these runs."""
        in_flight = self._former.state.in_flight
        if in_flight and self._former.clock.is_same_boot:
            kill_leftovers([run.run_id for run in in_flight])
        for run in in_flight:
            is_corrected = run.scheduled is not None and self._former.is_corrected(run.job_id, run.scheduled)
            self._accounting.record(interrupted_record(run, now, CORRECTS if is_corrected else ()))
            if run.scheduled is not None:
                self._closed.setdefault(run.job_id, []).append(run.scheduled)

    def miss_all(self, reason_of: Callable[[str], str], now: datetime) -> None:
        """Record the pending slots of all jobs as missed, with the reason of each."""
        for job_id in list(self._pending):
            self.miss_job(job_id, reason_of(job_id), now)

    def miss_job(self, job_id: str, reason: str, now: datetime) -> None:
        """Record the pending slots of a job as missed."""
        for slot in self.take(job_id):
            self.miss(job_id, slot, reason, now)

    def miss(self, job_id: str, slot: datetime, reason: str, now: datetime) -> None:
        """Record a slot as missed."""
        missed = MissedSlots(slot, slot, 1, reason=reason, corrects=self._former.is_corrected(job_id, slot))
        self._accounting.record(missed_record(job_id, missed, now))
        self._closed.setdefault(job_id, []).append(slot)
