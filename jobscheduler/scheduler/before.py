"""What the log says of the time before this start, until every slot of it has its account."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from jobscheduler.model import Entry, Job, Once, Past, Record, Status
from jobscheduler.runner import end_leftovers
from jobscheduler.scheduler.held import interrupted_record
from jobscheduler.slots import Decision, Outage, Overlap, Situation, after_outage
from jobscheduler.timetable import Timetable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)

UNSURE = timedelta(seconds=2)
"""How long after the last line that survived an unclean end of the host further lines may have been lost."""


class Before:
    """The time before a start. `write` takes records; `boot` tells this boot of the host from another."""

    def __init__(self, past: Past, boot: str, write: Callable[[Entry], object]) -> None:
        self._past = past
        self._write = write
        self.is_same_boot = past.mark.boot == boot
        self._late = dict(past.mark.late)
        self._interrupted: dict[str, list[datetime]] = {}
        self._waits: dict[str, list[datetime]] = {}
        for job_id, slot in past.waits:
            self._waits.setdefault(job_id, []).append(slot)

    def end_interrupted(self, now: datetime) -> None:
        """End the runs that a crash interrupted, and write their records."""
        begun = self._past.begun
        if begun and self.is_same_boot:
            end_leftovers([one.run_id for one in begun])
        for one in begun:
            self._write(interrupted_record(one, now))
            if one.scheduled is not None:
                self._interrupted.setdefault(one.job_id, []).append(one.scheduled)

    def account(self, job: Job, timetable: Timetable, now: datetime) -> Decision:
        """Decide what was due of a job while nobody looked; each call is for another job."""
        outage = self._outage(job, timetable, now)
        situation = Situation(Overlap(job.overlap), catch_up=timedelta(seconds=job.catch_up))
        decision = after_outage(timetable, outage, situation)
        is_late = isinstance(job.schedule, Once) and job.written is not None and job.written > job.schedule.at
        if is_late and not outage.waits:
            return Decision(decision.cursor, decision.acts)  # its file came too late for its slot: that is no miss
        return decision

    def _outage(self, job: Job, timetable: Timetable, now: datetime) -> Outage:
        """Say what nobody decided of a job: slots that are later than `settled` and than its file.

        A slot that the log knows to be due, because it waits or its job was late then, is counted whenever its file
        was written: that was done to a job in force, and without an effect on this slot.
        """
        past = self._past
        after = self._late.get(job.id, past.mark.settled)
        settled = [(slot, slot) for slot in self._interrupted.get(job.id, ())]
        put = EPOCH if job.written is None or isinstance(job.schedule, Once) else min(job.written, now)
        due = timetable.next(after) if job.id in self._late else None
        if due is None or due > put:
            after = max(after, put)
        elif timetable.start_of(due) <= now:
            settled.append((due + TICK, put))  # what is between them is nobody's
        waits = tuple(self._waits.pop(job.id, ()))
        is_unclean = not self.is_same_boot and not past.stopped
        unknown = (past.until, past.until + UNSURE) if is_unclean else None
        return Outage(after, now, "down", (*past.accounted.get(job.id, ()), *settled), waits, unknown)

    def miss_waits(self, job_id: str, reason: str, now: datetime) -> None:
        """Write the records of slots of a job that waited when the service ended and are not going to run."""
        for slot in self._waits.pop(job_id, ()):
            self._write(Record(now, Status.MISSED, job_id, scheduled=slot, reason=reason))

    def miss_all_waits(self, reason_of: Callable[[str], str], now: datetime) -> None:
        """The same for every job that nobody asked for, with the reason that is given for each."""
        for job_id in list(self._waits):
            self.miss_waits(job_id, reason_of(job_id), now)
