"""Find out which slots of a job were decided before this start. The rules are in `outage_slots`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from jobscheduler.model import EPOCH, Job, Once, truncate_to_ms
from jobscheduler.scheduler.clock_setback import (
    CLOCK_MEMORY_S,
    MAX_SPANS,
    NO_SETBACK,
    ClockSetbackState,
    MissedSpan,
    clock_set_back,
)
from jobscheduler.scheduler.former_service import FormerService
from jobscheduler.scheduler.pending_slots import PendingSlots
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, TimeSpan, clip, overlap, subtract


class FormerDecisions:
    """The slots of jobs before this start, from the checkpoint and, where that cannot tell, from the log.

    Lock: none of its own. One sync at a time uses it, because it may read the log.
    """

    def __init__(self, former: FormerService, pending: PendingSlots) -> None:
        self._former = former
        self._pending = pending

    def state_of(self, job: Job, now: datetime, last: datetime) -> tuple[datetime, ClockSetbackState]:
        """Return since when the slots of a job are decided, and which later than `now` are. May read the log.

        `last` is from `last_decided_slot`. Call it for a job that is new to this process.
        """
        former, full, job_id = self._former, self._former.full, job.id
        if job_id in full.hashes and (not isinstance(job.schedule, Once) or former.was_active(job)):
            since, cursor = full.since.get(job_id, full.accounted_since), former.lagging.get(job_id, former.settled)
            decided: list[TimeSpan] = [(since + TICK, cursor)]
        else:
            since, cursor = full.since.get(job_id, now), now
            decided = [(now + TICK, self._last_decided_in_log(job, now))]
        if isinstance(job.schedule, Once) and last >= truncate_to_ms(job.schedule.at):
            since = min(since, truncate_to_ms(job.schedule.at) - TICK)  # a clock set back further must not repeat it
        return self._state(job_id, since, cursor, decided, now)

    def state_of_absent(self, job_id: str, now: datetime) -> tuple[datetime, ClockSetbackState]:
        """Return the same for a job of the former service that is not active now: it may become active again.

        Slots that were to run again, and are over by now, are missed as before.
        """
        former, full = self._former, self._former.full
        since = full.since.get(job_id, full.accounted_since)
        since, ahead = self._state(job_id, since, now, [(since + TICK, max(now, former.settled))], now)
        open_until = former.clock.uptime + CLOCK_MEMORY_S
        over = (MissedSpan(*span, open_until) for span in clip(full.reopened.get(job_id, ()), EPOCH, now))
        return since, replace(ahead, missed=(*ahead.missed, *over)[-MAX_SPANS:])

    def _state(
        self, job_id: str, since: datetime, cursor: datetime, decided: list[TimeSpan], now: datetime
    ) -> tuple[datetime, ClockSetbackState]:
        former, full = self._former, self._former.full
        decided += former.state.recorded.get(job_id, ())
        decided += self._pending.closed(job_id)
        reopened = (*full.reopened.get(job_id, ()), *self._pending.later_than(now, job_id, corrects=True))
        decided_ahead, missed = full.decided_ahead.get(job_id, ()), former.missed(job_id)
        if not (decided_ahead or reopened or missed) and max(last for _, last in decided) <= now:
            return min(since, now), NO_SETBACK
        known = ClockSetbackState(decided_ahead, reopened, missed)
        ahead = clock_set_back(known, decided, min(cursor, now), former.clock.uptime)
        undecided = self._pending.later_than(now, job_id)
        return min(since, now), replace(ahead, decided=subtract(ahead.decided, undecided))

    def _last_decided_in_log(self, job: Job, now: datetime) -> datetime:
        """Return the latest decided slot of a job that the checkpoint does not name, if it could be due again.

        For a one-time job `last_decided_slot` finds it.
        """
        if not self._former.is_known or now >= self._former.ahead or isinstance(job.schedule, Once):
            return EPOCH
        return self._look_up(job.id, now) or self._former.ahead

    def last_decided_slot(self, job: Job, now: datetime, *, is_startup: bool) -> tuple[datetime, bool]:
        """Return the instant of a one-time job if it counts as decided, else the epoch. May read the log.

        The second value is true if nothing is known of that slot: the caller must record it as missed.
        """
        former = self._former
        if not isinstance(job.schedule, Once):
            return EPOCH, False
        at = truncate_to_ms(job.schedule.at)
        if not former.is_known or at > former.ahead or self._is_open(job.id) or former.may_come_again(job.id, at, now):
            return EPOCH, False
        # the checkpoint covers it; of later slots there are lines
        is_covered = at <= max(former.settled, former.state.checkpoint.clock_ahead or former.settled)
        was_active = is_covered and former.ahead <= now and (former.was_active(job) or not _is_late(job))
        if is_startup and was_active:
            return at, False
        last = self._look_up(job.id, at - TICK)
        return (at, True) if last is None else (last, False)

    def has_unrecorded_slot(self, job: Job) -> bool:
        """Return whether the slot of a one-time job, too old to run now, may lack a record. May read the log.

        If its file was written after its instant, it was never due: it is only reported as expired.
        """
        former = self._former
        if self._is_open(job.id):
            return True
        if not former.is_known or not isinstance(job.schedule, Once) or job.schedule.at <= former.settled:
            return False
        at = truncate_to_ms(job.schedule.at)
        if at <= former.ahead and self._look_up(job.id, at - TICK) != EPOCH:
            return False  # it was decided before the clock was set back
        return former.was_active(job) or not _is_late(job)

    def may_still_run(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Return whether the slot of a one-time job is young enough to run, not counting the time of the drain."""
        drain = self._former.state.drain
        if drain is None or not isinstance(job.schedule, Once):
            return False
        start = timetable.start_time(truncate_to_ms(job.schedule.at))
        return now - start - overlap((drain,), start, now) <= timedelta(seconds=job.catch_up)

    def _is_open(self, job_id: str) -> bool:
        """Return whether the checkpoint names a slot of a job as pending, or as due without a decision."""
        return job_id in self._former.lagging or job_id in self._pending

    def _look_up(self, job_id: str, after: datetime) -> datetime | None:
        """Search the log for the latest decided slot after an instant: EPOCH if there is none, None if unknown."""
        find = self._former.state.last_decided_slot
        if find is None:
            return None
        try:
            return find(job_id, after) or EPOCH
        except (LookupError, OSError):  # the log has gaps, or cannot be read
            return None


def _is_late(job: Job) -> bool:
    """Return whether the file of a one-time job is newer than its instant."""
    return isinstance(job.schedule, Once) and job.modified_at is not None and job.modified_at > job.schedule.at
