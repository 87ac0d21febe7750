"""What the log says of the time before this start, until every slot of it has its account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from jobscheduler.model import (
    EPOCH,
    Checkpoint,
    Event,
    FullCheckpoint,
    Job,
    Level,
    LogEntry,
    Once,
    RecoveredState,
    truncate_to_ms,
)
from jobscheduler.runner import kill_leftovers
from jobscheduler.scheduler import decided_ahead
from jobscheduler.scheduler.decided_ahead import CLOCK_MEMORY_S, NOTHING_AHEAD, DecidedAhead
from jobscheduler.scheduler.job_entry import CORRECTS, interrupted_record, missed_record
from jobscheduler.timetable.definition_hash import definition_hash, has_same_slots
from jobscheduler.timetable.slots import (
    Action,
    Decision,
    JobSituation,
    MissedSlots,
    Outage,
    Overlap,
    Range,
    decide_after_outage,
)
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.host_id import is_same_boot
from jobscheduler.util.spans import TICK, Span, overlap, span_at, subtract

MIN_CLOCK_STEP = 1.0
"""By so many seconds the clock must have gone ahead of the others while the service was down to be told."""

UNSYNCED_WINDOW = timedelta(seconds=2)
"""How long after the last line that survived an unclean end of the host further lines may have been lost."""


def _nothing_known(now: datetime) -> RecoveredState:
    """What there is to say of the time before if no log tells: nothing was decided, nothing missed."""
    return RecoveredState(Checkpoint(now, "-"), now, clean_stop=True, last_decided_slot=lambda *_: None)


class OutageRecovery:
    """The time before a start, kept as long as the process: a file that was refused may heal much later.

    Which of its slots were decided is known as follows, so that none runs twice and none is passed over in silence.

    1. The full checkpoint names the jobs that were in force, and from when on their slots were decided: up to `settled`
       all of them; later ones have lines, and the others are missed, whatever has touched their files since. If a job
       is due at other times now, its slots count from when its file was put there, as those of a new one do.
    2. If `settled` is later than the clock, that was set: what was decided stays so, and nothing was missed. Of a job
       that the checkpoint does not name, and of a one-time job whose file is newer than its instant, the log is asked
       what it knows, further back if need be.
    3. If the log does not reach back so far, the slot counts as decided; a one-time job's is missed, as `unknown`.
    4. Without a full checkpoint nothing was missed but what the mark itself tells: what waited, and what was late.
    5. Without any log nothing was decided, and nothing missed: a one-time job that is young enough runs.
    """

    def __init__(
        self,
        past: RecoveredState | None,
        boot: str,
        write: Callable[[LogEntry], object],
        now: datetime,
        up: float = 0.0,
    ) -> None:
        """`write` takes records; `boot` tells this boot of the host from another, and `up` is how old it is.

        `now` is the start. `ahead` is how far slots have been decided, also by a clock that was wrong since the mark.
        """
        self._is_known = past is not None
        self._recovered = past = past or _nothing_known(now)
        self._full = past.full or FullCheckpoint()
        self._write = write
        self._started = now
        self._up = up
        self._settled = past.checkpoint.settled
        self.is_same_boot = (
            is_same_boot(past.checkpoint.boot, boot) and (past.checkpoint.uptime or 0.0) <= up + MIN_CLOCK_STEP
        )
        ends = (last for ranges in past.recorded.values() for _, last in ranges)
        self.ahead = max([self._settled, past.checkpoint.clock_ahead or self._settled, *ends])
        self._late = dict(past.checkpoint.lagging)
        self._corrects = frozenset(past.checkpoint.corrects)
        self._closed: dict[str, list[datetime]] = {}
        self._pending: dict[str, list[datetime]] = {}
        self._looked_up: set[str] = set()
        for job_id, slot in past.pending:
            self._pending.setdefault(job_id, []).append(slot)

    def fail_interrupted(self, now: datetime) -> None:
        """End the runs that a crash interrupted, and write their records."""
        begun = self._recovered.in_flight
        if begun and self.is_same_boot:
            kill_leftovers([one.run_id for one in begun])
        for one in begun:
            is_corrected = one.scheduled is not None and self._is_corrected(one.job_id, one.scheduled)
            extra = CORRECTS if is_corrected else ()
            self._write(interrupted_record(one, now, extra))
            if one.scheduled is not None:
                self._closed.setdefault(one.job_id, []).append(one.scheduled)

    @property
    def floor(self) -> datetime:
        """From when on the slots of any job were decided."""
        if not self._is_known:
            return self._started
        return self._full.accounted_since

    def _elapsed(self) -> float:
        """Return for how many seconds the service was down, as far as the clock tells that is never set."""
        return (
            self._up - self._recovered.checkpoint.uptime
            if self.is_same_boot and self._recovered.checkpoint.uptime is not None
            else 0.0
        )

    def _cause(self) -> str:
        """Say why nobody looked: the service was down, or the clock was set ahead while it was."""
        told, elapsed = self._recovered.reported, self._elapsed()
        if told is None or not self.is_same_boot or self._recovered.checkpoint.uptime is None:
            return "down"
        set_by = (self._started - told).total_seconds() - elapsed
        return "clock" if set_by > MIN_CLOCK_STEP and set_by > elapsed else "down"

    def state_of(self, job: Job, now: datetime) -> tuple[datetime, DecidedAhead]:
        """Return from when on the slots of a job were decided, and which are that are later than now. May read files.

        To be asked when this service has had nothing to do with a job so far.
        """
        full, job_id = self._full, job.id
        if job_id in full.hashes and (not isinstance(job.schedule, Once) or self._was_active(job)):
            since, top = full.since.get(job_id, full.accounted_since), self._late.get(job_id, self._settled)
            decided: list[Span] = [(since + TICK, top)]
        else:
            asked = self._reopened_spans(job, now)
            since, top = full.since.get(job_id, now), now
            decided = [(now + TICK, asked)]
        decided += self._recovered.recorded.get(job_id, ())
        decided += ((slot, slot) for slot in self._closed.get(job_id, ()))
        again = (*full.reopened.get(job_id, ()), *self._too_early(job_id, now, corrects=True))
        known = DecidedAhead(full.decided_ahead.get(job_id, ()), again, self._missed(job_id))
        if known == NOTHING_AHEAD and all(last <= now for _, last in decided):
            return min(since, now), NOTHING_AHEAD
        found = decided_ahead.clock_set_back(known, decided, min(top, now), self._up)
        return min(since, now), replace(found, decided=subtract(found.decided, self._too_early(job_id, now)))

    def _too_early(self, job_id: str, now: datetime, *, corrects: bool = False) -> list[Span]:
        """Return the slots that waited when the clock was set back: they have no record, and their time comes again.

        Those with `corrects` were missed by a wrong clock before that, and say so when they run.
        """
        early = [slot for slot in self._pending.get(job_id, ()) if slot > now]
        return [(slot, slot) for slot in early if not corrects or self._is_corrected(job_id, slot)]

    def _reopened_spans(self, job: Job, now: datetime) -> datetime:
        """Return the latest slot of a job decided that the checkpoint does not name, as far as it could come up again.

        Of a one-time job that is found out when it is put.
        """
        if not self._is_known or now >= self.ahead or isinstance(job.schedule, Once):
            return EPOCH
        return self._look_up(job.id, now) or self.ahead

    def _missed(self, job_id: str) -> tuple[decided_ahead.MissedSpan, ...]:
        """Return what was missed before and may come again, by the clock of this boot."""
        found = self._full.missed.get(job_id)
        if not found:
            return ()
        left = self._up + CLOCK_MEMORY_S - self._elapsed()
        return tuple(decided_ahead.MissedSpan(first, last, left - age) for first, last, age in found)

    # -- whose turn it is

    def needs_recovery(self, job: Job, now: datetime) -> bool:
        """Tell whether a job that comes now was there at the start, only refused, and has not been accounted for.

        That cannot be told when the clock has been set back to before the start: then it counts as a new one.
        """
        if job.id in self._looked_up or job.modified_at is None:
            return False
        return job.modified_at <= self._started <= now

    def last_decided_slot(self, job: Job, now: datetime, *, starting: bool) -> datetime:
        """Return the instant of a one-time job that counts as decided, the epoch if it does not.

        Writes the record of a slot of which nothing can be known. May read files.
        """
        if not isinstance(job.schedule, Once):
            return EPOCH
        at, settled = truncate_to_ms(job.schedule.at), self.ahead
        if not self._is_known or at > settled or job.id in self._late or job.id in self._pending:
            return EPOCH
        if self._may_come_again(job.id, at, now):
            return EPOCH
        is_marked = at <= max(
            self._settled, self._recovered.checkpoint.clock_ahead or self._settled
        )  # of later ones lines tell
        if starting and is_marked and settled <= now and (self._was_active(job) or not _is_late(job)):
            return at  # it was in force when it was due
        last = self._look_up(job.id, at - TICK)
        if last is None:
            self._close(job.id, at, "unknown", now)
            return at
        return last

    def _may_come_again(self, job_id: str, at: datetime, now: datetime) -> bool:
        """Tell whether only a wrong clock has missed a slot that is still to come."""
        if span_at(at, self._full.reopened.get(job_id, ())):
            return True
        live = (one for one in self._missed(job_id) if one.open_until > self._up)
        return at > now and any(one.first <= at <= one.last for one in live)

    def _look_up(self, job_id: str, after: datetime) -> datetime | None:
        """Ask the log for the latest decided slot after a moment: EPOCH if there is none, None if it cannot be told."""
        if self._recovered.last_decided_slot is None:
            return None
        try:
            return self._recovered.last_decided_slot(job_id, after) or EPOCH
        except (LookupError, OSError):
            return None

    # -- the account

    def recover(self, job: Job, timetable: Timetable, now: datetime, last: datetime, *, is_open: bool) -> Decision:
        """Decide what was due of a job while nobody looked; each call is for another job. `last` is from `last_of`.

        That is everything until now if `is_open`: at the start, and for what stands where nobody could look since. A
        job that was refused at the start has its account up to then, when its slots were younger; those since are
        nobody's.
        """
        self._looked_up.add(job.id)
        catch_up = timedelta(seconds=job.catch_up)
        if not is_open:
            timetable, catch_up = timetable.without_jitter, catch_up - (now - self._started)
        outage = self._outage(job, timetable, now if is_open else self._started, last)
        decision = decide_after_outage(timetable, outage, JobSituation(Overlap(job.overlap), catch_up=catch_up))
        if is_open or isinstance(job.schedule, Once):
            return decision
        return replace(decision, cursor=max(decision.cursor, now))

    def decide_reboot(self, job: Job, cursor: datetime, now: datetime, *, starting: bool) -> Decision:
        """Decide about `@reboot` in a boot of which nobody has seen the start before; its slot is the service's start.

        A job that comes later is caught up like any other.
        """
        self._looked_up.add(job.id)
        self.miss_pending(job.id, "down", now)
        slot = truncate_to_ms(now if starting else self._started)
        if starting or now - slot <= timedelta(seconds=job.catch_up):
            return Decision(cursor, ((slot, Action.RUN),))
        return Decision(cursor, (), (MissedSlots(slot, slot, 1, reason="down"),))

    def mark_recovered(self, job: Job, now: datetime) -> None:
        """Take note that a job has had its turn, though it has no account because it is switched off."""
        self._say_changed(
            job, self._late.get(job.id, self._settled), now if job.modified_at is None else job.modified_at
        )
        self._looked_up.add(job.id)

    def _outage(self, job: Job, timetable: Timetable, now: datetime, last: datetime) -> Outage:
        """Say what nobody decided of a job: slots that are later than `settled`, or than its file if it is new.

        A slot that the log knows to be due, because it waits or its job was late then, is counted whenever its file
        was written: that was done to a job in force, and without an effect on this slot.
        """
        past, full = self._recovered, self._full
        closed = [(slot, slot) for slot in self._closed.get(job.id, ())]
        after, ranges = self._since(job, timetable, now, last)
        waiting = [slot for slot in self._pending.pop(job.id, ()) if slot <= now]
        final = [slot for slot in waiting if self._is_missed_for_good(job, slot, timetable, now)]
        waits = tuple(slot for slot in waiting if slot not in final)
        closed += ((slot, slot) for slot in final)
        is_unclean = not self.is_same_boot and not past.clean_stop
        unknown = past.last_line_at + UNSYNCED_WINDOW if is_unclean else None
        told = (*past.recorded.get(job.id, ()), *full.decided_ahead.get(job.id, ()), *closed, *ranges)
        stood = () if past.drain_began_at is None else (past.drain_began_at,)
        again = full.reopened.get(job.id, ())
        corrects = frozenset(slot for slot in waits if self._is_corrected(job.id, slot))
        return Outage(after, now, self._cause(), told, waits, unknown, stood, again, corrects)

    def _is_corrected(self, job_id: str, slot: datetime) -> bool:
        """Tell whether a slot that waits or has begun was recorded as missed before that, by a wrong clock."""
        return (job_id, slot) in self._corrects

    def _is_missed_for_good(self, job: Job, slot: datetime, timetable: Timetable, now: datetime) -> bool:
        """Tell whether a slot that waited to correct its `MISSED` is too old by now: then that record stands."""
        return self._is_corrected(job.id, slot) and now - timetable.start_time(slot) > timedelta(seconds=job.catch_up)

    def _since(
        self, job: Job, timetable: Timetable, now: datetime, last: datetime
    ) -> tuple[datetime, tuple[Range, ...]]:
        """Say from when on nobody decided the slots of a job, and which of them are nobody's."""
        after = self._late.get(job.id, min(self._settled, now))
        if isinstance(job.schedule, Once):
            at = truncate_to_ms(job.schedule.at)
            self._say_changed(job, after, now)
            if last >= at:  # also where that is told further back than by the checkpoint
                return max(after, at), ()
            return (at - TICK if at <= after else after), ()
        if self._was_active(job):  # perhaps put since the mark
            return (after if job.id in self._late else max(after, min(self._full.since.get(job.id, after), now))), ()
        put = EPOCH if job.modified_at is None else min(job.modified_at, now)
        if self._is_known and self._recovered.full is None:
            put = now
        self._say_changed(job, after, put)
        due = timetable.next(after) if job.id in self._late else None
        if due is None or due > put:
            return max(after, put), ()
        return after, ((due + TICK, put),) if timetable.start_time(due) <= now else ()

    def _say_changed(self, job: Job, since: datetime, until: datetime) -> None:
        """Say that a job in force was due at other times before: which ones cannot be told, so they have no record."""
        if job.id not in self._full.hashes or self._was_active(job) or until <= since:
            return
        note = "its schedule was changed while the service was down; slots of the former one have no record"
        values = (("job_id", job.id), ("since", since), ("until", until), ("note", note))
        self._write(Event(self._started, Level.INFO, "job.changed", values))

    def _was_active(self, job: Job) -> bool:
        """Tell whether a job was, and due at the same times as now."""
        digits = self._full.hashes.get(job.id)
        return digits is not None and has_same_slots(digits, definition_hash(job))

    def has_unrecorded_slot(self, job: Job) -> bool:
        """Tell whether the slot of a one-time job, too old to run now, may lack its account.

        It lacks none if its file was only put there after it: then it was never due, and is told to be expired.
        """
        if job.id in self._pending or job.id in self._late:
            return True
        if not self._is_known:
            return False
        if not isinstance(job.schedule, Once) or job.schedule.at <= self._settled:
            return False
        at = truncate_to_ms(job.schedule.at)
        if at <= self.ahead and self._look_up(job.id, at - TICK) != EPOCH:
            return False  # the clock was there before, and it was decided then
        return self._was_active(job) or not _is_late(job)

    def may_still_run(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Tell whether the slot of a one-time job is young enough to run, less the time of the drain."""
        drained = self._recovered.drain_began_at
        if drained is None or not isinstance(job.schedule, Once):
            return False
        start = timetable.start_time(truncate_to_ms(job.schedule.at))
        return now - start - overlap((drained,), start, now) <= timedelta(seconds=job.catch_up)

    def miss_pending(self, job_id: str, reason: str, now: datetime) -> None:
        """Write the records of slots of a job that waited when the service ended and are not going to run."""
        for slot in self._pending.pop(job_id, ()):
            self._close(job_id, slot, reason, now)

    def miss_all_pending(self, reason_of: Callable[[str], str], now: datetime) -> None:
        """The same for every job that nobody asked for, with the reason that is given for each."""
        for job_id in list(self._pending):
            self.miss_pending(job_id, reason_of(job_id), now)

    def _close(self, job_id: str, slot: datetime, reason: str, now: datetime) -> None:
        missed = MissedSlots(slot, slot, 1, reason=reason, corrects=self._is_corrected(job_id, slot))
        self._write(missed_record(job_id, missed, now))
        self._closed.setdefault(job_id, []).append(slot)


def _is_late(job: Job) -> bool:
    return isinstance(job.schedule, Once) and job.modified_at is not None and job.modified_at > job.schedule.at
