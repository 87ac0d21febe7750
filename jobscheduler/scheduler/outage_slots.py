"""Decide the slots of an outage, which is the time between the last checkpoint and this start."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from jobscheduler.model import EPOCH, Event, Job, Level, Once, truncate_to_ms
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.former_decisions import FormerDecisions
from jobscheduler.scheduler.former_service import FormerService
from jobscheduler.scheduler.pending_slots import PendingSlots
from jobscheduler.timetable.decision import Decision, MissedSlots
from jobscheduler.timetable.outage import Outage, decide_after_outage
from jobscheduler.timetable.overlap import Action, JobSituation, Overlap
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, TimeSpan, subtract


class RecoveryPhase(Enum):
    """When a job appears, seen from the start."""

    STARTUP = auto()  # during start-up
    FIRST_SYNC = auto()  # when its source can be read for the first time
    LATER = auto()  # afterwards


class OutageSlots:
    """The account of the outage, kept as long as the process: a refused file may become valid much later.

    Which slots were decided is known as follows, so that none runs twice and none is dropped without a record:

    1. The full checkpoint names the jobs that were active, and since when their slots were decided. Up to `settled` all
       are decided; later ones have lines. The others are missed, even if their file was touched since. If a job is due
       at other times now, its slots count from its file's modification, as those of a new job do.
    2. If `settled` is later than the clock, the clock was set back: what was decided stays decided, nothing was missed.
       For two kinds of job the log is searched, further back if need be: one that the checkpoint does not name, and a
       one-time job whose file is newer than its instant.
    3. If the log does not reach back that far, assume that the slot was decided. For a one-time job, record it as
       MISSED reason=unknown.
    4. Without a full checkpoint nothing was missed but what the checkpoint itself tells: pending and lagging slots.
    5. Without any log nothing was decided and nothing missed: a one-time job that is young enough runs.

    Which slots are open, after the time in the first row and up to the time in the row of the phase:

    | phase               | same job as before        | new or rescheduled job   | one-time job                |
    |---------------------|---------------------------|--------------------------|-----------------------------|
    | open after          | `settled`, or its cursor  | its file's modification  | before its instant, if that |
    |                     | if it was lagging         |                          | is not decided (2, 3)       |
    | STARTUP, FIRST_SYNC | now                       | now                      | now                         |
    | LATER               | the start; younger slots count from now              | the start                   |

    LATER covers only a job that was refused at the start: its file is older than the start.
    Lock: none of its own. One sync at a time uses it.
    """

    def __init__(self, former: FormerService, accounting: Accounting) -> None:
        self.former = former
        self.pending = PendingSlots(former, accounting)
        self.former_decisions = FormerDecisions(former, self.pending)
        self._accounting = accounting
        self._late_reason = former.clock.late_reason()
        self._unknown_until = former.clock.unknown_until()
        self._standstills = () if former.state.drain is None else (former.state.drain,)
        self._recovered_ids: set[str] = set()

    def needs_recovery(self, job: Job, now: datetime, phase: RecoveryPhase) -> bool:
        """Return whether the outage of a job is to be accounted for now: always during start-up.

        Afterwards only for a job that was there at the start, refused, and is not accounted for yet. That is unknown
        if the clock was set back to before the start: then it counts as a new job.
        """
        if phase is RecoveryPhase.STARTUP:
            return True
        if job.id in self._recovered_ids or job.modified_at is None:
            return False
        return job.modified_at <= self.former.started <= now

    def recover(
        self,
        job: Job,
        timetable: Timetable,
        now: datetime,
        last: datetime,
        phase: RecoveryPhase,
        paused_until: datetime | None,
        *,
        is_active: bool = False,
    ) -> Decision:
        """Decide the slots of a job in the outage (see the table above). Call it once for each job.

        `last` is from `FormerDecisions.last_decided_slot`. In the phase LATER slots were younger at the start, so
        `catch_up` counts from there; slots since the start are ignored. Slots before `paused_until` are skipped.
        `is_active`: a run of the job is at work, as may be when another service led.
        """
        self._recovered_ids.add(job.id)
        is_open = phase is not RecoveryPhase.LATER
        catch_up = timedelta(seconds=job.catch_up)
        if not is_open:
            timetable, catch_up = timetable.without_jitter, catch_up - (now - self.former.started)
        outage = self._outage(job, timetable, now if is_open else self.former.started, last)
        situation = JobSituation(Overlap(job.overlap), is_active, catch_up=catch_up, paused_until=paused_until)
        decision = decide_after_outage(timetable, outage, situation)
        if is_open or isinstance(job.schedule, Once):
            return decision
        return replace(decision, cursor=max(decision.cursor, now))

    def decide_reboot(
        self, job: Job, cursor: datetime, now: datetime, phase: RecoveryPhase, paused_until: datetime | None
    ) -> Decision:
        """Decide about `@reboot` in a new boot of the host; its slot is the start of the service.

        A job that appears later is caught up like any other. A slot before `paused_until` is skipped.
        """
        self._recovered_ids.add(job.id)
        self.pending.miss_job(job.id, "down", now)
        is_startup = phase is RecoveryPhase.STARTUP
        slot = truncate_to_ms(now if is_startup else self.former.started)
        if paused_until is not None and slot < paused_until:
            return Decision(cursor, ((slot, Action.PAUSE),))
        if is_startup or now - slot <= timedelta(seconds=job.catch_up):
            return Decision(cursor, ((slot, Action.RUN),))
        return Decision(cursor, (), (MissedSlots(slot, slot, 1, reason="down"),))

    def mark_recovered(self, job: Job, now: datetime) -> None:
        """Note that a job is accounted for, without slots because it is disabled."""
        until = now if job.modified_at is None else job.modified_at
        self._log_rescheduled(job, self.former.lagging.get(job.id, self.former.settled), until)
        self._recovered_ids.add(job.id)

    def _outage(self, job: Job, timetable: Timetable, until: datetime, last: datetime) -> Outage:
        """Return the undecided slots of a job: those later than `settled`, or than its file if the job is new.

        A slot that the log knows as pending or lagging counts even if the file was written later: the job was active
        then, and the file has no effect on that slot.
        """
        former, full = self.former, self.former.full
        after, ignored = self._open_after(job, timetable, until, last)
        pending, final = self._pending_slots(job, timetable, until)
        closed = (*self.pending.closed(job.id), *((slot, slot) for slot in final))
        # a slot that waited when the clock was set back is decided and has no record yet
        ahead = full.decided_ahead.get(job.id, ())
        if ahead:
            ahead = subtract(ahead, [(slot, slot) for slot in pending])
        recorded = (*former.state.recorded.get(job.id, ()), *ahead, *closed, *ignored)
        return Outage(
            after,
            until,
            self._late_reason,
            recorded,
            pending,
            self._unknown_until,
            standstills=self._standstills,
            reopened=full.reopened.get(job.id, ()),
            corrects=frozenset(slot for slot in pending if former.is_corrected(job.id, slot)),
            is_pending_apart=former.state.is_shared,
        )

    def _pending_slots(
        self, job: Job, timetable: Timetable, until: datetime
    ) -> tuple[tuple[datetime, ...], tuple[datetime, ...]]:
        """Take the pending slots of a job up to an instant: those to decide, and those that stay missed."""
        if job.id not in self.pending:  # the usual case
            return (), ()
        due = [slot for slot in self.pending.take(job.id) if slot <= until]
        final = tuple(slot for slot in due if self._is_missed_for_good(job, slot, timetable, until))
        return tuple(slot for slot in due if slot not in final), final

    def _is_missed_for_good(self, job: Job, slot: datetime, timetable: Timetable, now: datetime) -> bool:
        """Return whether a pending slot that would correct its `MISSED` is too old by now: then that record stands."""
        age = now - timetable.start_time(slot)
        return self.former.is_corrected(job.id, slot) and age > timedelta(seconds=job.catch_up)

    def _open_after(
        self, job: Job, timetable: Timetable, now: datetime, last: datetime
    ) -> tuple[datetime, tuple[TimeSpan, ...]]:
        """Return after which instant slots of a job are undecided, and which later ones do not count."""
        former = self.former
        after = former.lagging.get(job.id, min(former.settled, now))
        if isinstance(job.schedule, Once):
            at = truncate_to_ms(job.schedule.at)
            self._log_rescheduled(job, after, now)
            if last >= at:  # decided, perhaps according to a line older than the checkpoint
                return max(after, at), ()
            return (at - TICK if at <= after else after), ()
        if former.was_active(job):
            if job.id in former.lagging:
                return after, ()
            full = former.full
            came = max(full.since.get(job.id, after), full.came.get(job.id, after))
            return max(after, min(came, now)), ()  # the definition may be newer than the checkpoint
        written_at = EPOCH if job.modified_at is None else min(job.modified_at, now)
        if former.is_known and former.state.full is None:
            written_at = now
        self._log_rescheduled(job, after, written_at)
        due = timetable.next(after) if job.id in former.lagging else None
        if due is None or due > written_at:
            return max(after, written_at), ()
        return after, ((due + TICK, written_at),) if timetable.start_time(due) <= now else ()

    def _log_rescheduled(self, job: Job, since: datetime, until: datetime) -> None:
        """Log that an active job was due at other times before: these are unknown, so they have no record."""
        if job.id not in self.former.full.hashes or self.former.was_active(job) or until <= since:
            return
        note = "its schedule was changed while the service was down; slots of the former one have no record"
        values = (("job_id", job.id), ("since", since), ("until", until), ("note", note))
        self._accounting.note(Event(self.former.started, Level.INFO, "job.changed", values))
