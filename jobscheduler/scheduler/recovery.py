"""Accounts for the slots of an outage: the time between the last checkpoint and this start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

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
from jobscheduler.scheduler.records import CORRECTS, interrupted_record, missed_record
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

MIN_CLOCK_STEP_S = 1.0  # the clock was set during the outage if it gained more than this on the uptime
UNSYNCED_WINDOW = timedelta(seconds=2)  # lines this long after the last one may be lost in a crash of the host


class RecoveryPhase(Enum):
    """When a job appears, seen from the start."""

    STARTUP = auto()  # during start-up
    FIRST_SYNC = auto()  # when its source can be read for the first time
    LATER = auto()  # afterwards


def _nothing_known(now: datetime) -> RecoveredState:
    """Return the state without a log: nothing was decided, nothing missed."""
    return RecoveredState(Checkpoint(now, "-"), now, clean_stop=True, last_decided_slot=lambda *_: None)


class OutageRecovery:
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

    def __init__(
        self,
        state: RecoveredState | None,
        boot: str,
        write: Callable[[LogEntry], object],
        now: datetime,
        uptime: float = 0.0,
    ) -> None:
        """`write` takes records; `boot` identifies this boot of the host, `uptime` is its age in seconds.

        `now` is the start. `ahead` is the latest decided slot of all, including those decided while the clock was
        wrong.
        """
        self._is_known = state is not None
        self._recovered = state = state or _nothing_known(now)
        self._full = state.full or FullCheckpoint()
        self._write = write
        self._started = now
        self._uptime = uptime
        self._settled = state.checkpoint.settled
        self.is_same_boot = (
            is_same_boot(state.checkpoint.boot, boot) and (state.checkpoint.uptime or 0.0) <= uptime + MIN_CLOCK_STEP_S
        )
        ends = (last for ranges in state.recorded.values() for _, last in ranges)
        self.ahead = max([self._settled, state.checkpoint.clock_ahead or self._settled, *ends])
        self._lagging = dict(state.checkpoint.lagging)
        self._corrects = frozenset(state.checkpoint.corrects)
        self._closed: dict[str, list[datetime]] = {}
        self._pending: dict[str, list[datetime]] = {}
        self._looked_up: set[str] = set()
        for job_id, slot in state.pending:
            self._pending.setdefault(job_id, []).append(slot)

    def fail_interrupted(self, now: datetime) -> None:
        """Kill the processes of runs that a crash interrupted, and write the records of these runs."""
        in_flight = self._recovered.in_flight
        if in_flight and self.is_same_boot:
            kill_leftovers([run.run_id for run in in_flight])
        for run in in_flight:
            is_corrected = run.scheduled is not None and self._is_corrected(run.job_id, run.scheduled)
            self._write(interrupted_record(run, now, CORRECTS if is_corrected else ()))
            if run.scheduled is not None:
                self._closed.setdefault(run.job_id, []).append(run.scheduled)

    @property
    def floor(self) -> datetime:
        """The instant from which the slots of all jobs were decided."""
        if not self._is_known:
            return self._started
        return self._full.accounted_since

    def _elapsed(self) -> float:
        """Return the seconds of the outage by the clock that is never set; 0 if the host was booted since."""
        before = self._recovered.checkpoint.uptime
        return self._uptime - before if self.is_same_boot and before is not None else 0.0

    def _late_reason(self) -> str:
        """Return why slots are late: `down`, or `clock` if the clock was set ahead during the outage."""
        written_at, elapsed = self._recovered.checkpoint_written_at, self._elapsed()
        if written_at is None or not self.is_same_boot or self._recovered.checkpoint.uptime is None:
            return "down"
        set_by = (self._started - written_at).total_seconds() - elapsed
        return "clock" if set_by > MIN_CLOCK_STEP_S and set_by > elapsed else "down"

    def state_of(self, job: Job, now: datetime) -> tuple[datetime, DecidedAhead]:
        """Return since when the slots of a job are decided, and which later than `now` are. May read the log.

        Call it for a job that is new to this process.
        """
        full, job_id = self._full, job.id
        if job_id in full.hashes and (not isinstance(job.schedule, Once) or self._was_active(job)):
            since, cursor = full.since.get(job_id, full.accounted_since), self._lagging.get(job_id, self._settled)
            decided: list[Span] = [(since + TICK, cursor)]
        else:
            since, cursor = full.since.get(job_id, now), now
            decided = [(now + TICK, self._last_decided_in_log(job, now))]
        decided += self._recovered.recorded.get(job_id, ())
        decided += ((slot, slot) for slot in self._closed.get(job_id, ()))
        reopened = (*full.reopened.get(job_id, ()), *self._pending_ahead(job_id, now, corrects=True))
        known = DecidedAhead(full.decided_ahead.get(job_id, ()), reopened, self._missed(job_id))
        if known == NOTHING_AHEAD and all(last <= now for _, last in decided):
            return min(since, now), NOTHING_AHEAD
        ahead = decided_ahead.clock_set_back(known, decided, min(cursor, now), self._uptime)
        return min(since, now), replace(ahead, decided=subtract(ahead.decided, self._pending_ahead(job_id, now)))

    def _pending_ahead(self, job_id: str, now: datetime, *, corrects: bool = False) -> list[Span]:
        """Return the pending slots later than `now`: they have no record, and are due again.

        With `corrects`, return only those that a wrong clock missed before; their lines say so when they run.
        """
        ahead = [slot for slot in self._pending.get(job_id, ()) if slot > now]
        return [(slot, slot) for slot in ahead if not corrects or self._is_corrected(job_id, slot)]

    def _last_decided_in_log(self, job: Job, now: datetime) -> datetime:
        """Return the latest decided slot of a job that the checkpoint does not name, if it could be due again.

        For a one-time job `last_decided_slot` finds it.
        """
        if not self._is_known or now >= self.ahead or isinstance(job.schedule, Once):
            return EPOCH
        return self._look_up(job.id, now) or self.ahead

    def _missed(self, job_id: str) -> tuple[decided_ahead.MissedSpan, ...]:
        """Return the missed spans that may be reopened, by the uptime of this boot."""
        spans = self._full.missed.get(job_id)
        if not spans:
            return ()
        open_until = self._uptime + CLOCK_MEMORY_S - self._elapsed()
        return tuple(decided_ahead.MissedSpan(first, last, open_until - age) for first, last, age in spans)

    # -- questions about a job

    def needs_recovery(self, job: Job, now: datetime, phase: RecoveryPhase) -> bool:
        """Return whether the outage of a job is to be accounted for now: always during start-up.

        Afterwards only for a job that was there at the start, refused, and is not accounted for yet. That is unknown
        if the clock was set back to before the start: then it counts as a new job.
        """
        if phase is RecoveryPhase.STARTUP:
            return True
        if job.id in self._looked_up or job.modified_at is None:
            return False
        return job.modified_at <= self._started <= now

    def last_decided_slot(self, job: Job, now: datetime, phase: RecoveryPhase) -> tuple[datetime, bool]:
        """Return the instant of a one-time job if it counts as decided, else the epoch. May read the log.

        The second value is true if nothing is known of that slot: the caller must record it as missed.
        """
        if not isinstance(job.schedule, Once):
            return EPOCH, False
        at = truncate_to_ms(job.schedule.at)
        if not self._is_known or at > self.ahead or job.id in self._lagging or job.id in self._pending:
            return EPOCH, False
        if self._may_come_again(job.id, at, now):
            return EPOCH, False
        # the checkpoint covers it; of later slots there are lines
        is_covered = at <= max(self._settled, self._recovered.checkpoint.clock_ahead or self._settled)
        was_active = is_covered and self.ahead <= now and (self._was_active(job) or not _is_late(job))
        if phase is RecoveryPhase.STARTUP and was_active:
            return at, False
        last = self._look_up(job.id, at - TICK)
        return (at, True) if last is None else (last, False)

    def _may_come_again(self, job_id: str, at: datetime, now: datetime) -> bool:
        """Return whether only a wrong clock has missed a future slot."""
        if span_at(at, self._full.reopened.get(job_id, ())):
            return True
        reopenable = (span for span in self._missed(job_id) if span.open_until > self._uptime)
        return at > now and any(span.first <= at <= span.last for span in reopenable)

    def _look_up(self, job_id: str, after: datetime) -> datetime | None:
        """Search the log for the latest decided slot after an instant: EPOCH if there is none, None if unknown."""
        if self._recovered.last_decided_slot is None:
            return None
        try:
            return self._recovered.last_decided_slot(job_id, after) or EPOCH
        except (LookupError, OSError):
            return None

    # -- the account of a job

    def recover(self, job: Job, timetable: Timetable, now: datetime, last: datetime, phase: RecoveryPhase) -> Decision:
        """Decide the slots of a job in the outage (see the table above). Call it once for each job.

        `last` is from `last_decided_slot`. In the phase LATER slots were younger at the start, so `catch_up` counts
        from there; slots since the start are ignored.
        """
        self._looked_up.add(job.id)
        is_open = phase is not RecoveryPhase.LATER
        catch_up = timedelta(seconds=job.catch_up)
        if not is_open:
            timetable, catch_up = timetable.without_jitter, catch_up - (now - self._started)
        outage = self._outage(job, timetable, now if is_open else self._started, last)
        decision = decide_after_outage(timetable, outage, JobSituation(Overlap(job.overlap), catch_up=catch_up))
        if is_open or isinstance(job.schedule, Once):
            return decision
        return replace(decision, cursor=max(decision.cursor, now))

    def decide_reboot(self, job: Job, cursor: datetime, now: datetime, phase: RecoveryPhase) -> Decision:
        """Decide about `@reboot` in a new boot of the host; its slot is the start of the service.

        A job that appears later is caught up like any other.
        """
        self._looked_up.add(job.id)
        self.miss_pending(job.id, "down", now)
        is_startup = phase is RecoveryPhase.STARTUP
        slot = truncate_to_ms(now if is_startup else self._started)
        if is_startup or now - slot <= timedelta(seconds=job.catch_up):
            return Decision(cursor, ((slot, Action.RUN),))
        return Decision(cursor, (), (MissedSlots(slot, slot, 1, reason="down"),))

    def mark_recovered(self, job: Job, now: datetime) -> None:
        """Note that a job is accounted for, without slots because it is disabled."""
        until = now if job.modified_at is None else job.modified_at
        self._log_rescheduled(job, self._lagging.get(job.id, self._settled), until)
        self._looked_up.add(job.id)

    def _outage(self, job: Job, timetable: Timetable, until: datetime, last: datetime) -> Outage:
        """Return the undecided slots of a job: those later than `settled`, or than its file if the job is new.

        A slot that the log knows as pending or lagging counts even if the file was written later: the job was active
        then, and the file has no effect on that slot.
        """
        state, full = self._recovered, self._full
        after, ignored = self._open_after(job, timetable, until, last)
        due = [slot for slot in self._pending.pop(job.id, ()) if slot <= until]
        final = [slot for slot in due if self._is_missed_for_good(job, slot, timetable, until)]
        pending = tuple(slot for slot in due if slot not in final)
        closed = [(slot, slot) for slot in (*self._closed.get(job.id, ()), *final)]
        decided = (*state.recorded.get(job.id, ()), *full.decided_ahead.get(job.id, ()), *closed, *ignored)
        is_unclean = not self.is_same_boot and not state.clean_stop
        unknown_until = state.last_line_at + UNSYNCED_WINDOW if is_unclean else None
        standstills = () if state.drain is None else (state.drain,)
        reopened = full.reopened.get(job.id, ())
        corrects = frozenset(slot for slot in pending if self._is_corrected(job.id, slot))
        reason = self._late_reason()
        return Outage(after, until, reason, decided, pending, unknown_until, standstills, reopened, corrects)

    def _is_corrected(self, job_id: str, slot: datetime) -> bool:
        """Return whether a pending or begun slot was recorded as missed before, because of a wrong clock."""
        return (job_id, slot) in self._corrects

    def _is_missed_for_good(self, job: Job, slot: datetime, timetable: Timetable, now: datetime) -> bool:
        """Return whether a pending slot that would correct its `MISSED` is too old by now: then that record stands."""
        return self._is_corrected(job.id, slot) and now - timetable.start_time(slot) > timedelta(seconds=job.catch_up)

    def _open_after(
        self, job: Job, timetable: Timetable, now: datetime, last: datetime
    ) -> tuple[datetime, tuple[Range, ...]]:
        """Return after which instant slots of a job are undecided, and which later ones do not count."""
        after = self._lagging.get(job.id, min(self._settled, now))
        if isinstance(job.schedule, Once):
            at = truncate_to_ms(job.schedule.at)
            self._log_rescheduled(job, after, now)
            if last >= at:  # decided, perhaps according to a line older than the checkpoint
                return max(after, at), ()
            return (at - TICK if at <= after else after), ()
        if self._was_active(job):
            if job.id in self._lagging:
                return after, ()
            return max(after, min(self._full.since.get(job.id, after), now)), ()  # it may be newer than the checkpoint
        written_at = EPOCH if job.modified_at is None else min(job.modified_at, now)
        if self._is_known and self._recovered.full is None:
            written_at = now
        self._log_rescheduled(job, after, written_at)
        due = timetable.next(after) if job.id in self._lagging else None
        if due is None or due > written_at:
            return max(after, written_at), ()
        return after, ((due + TICK, written_at),) if timetable.start_time(due) <= now else ()

    def _log_rescheduled(self, job: Job, since: datetime, until: datetime) -> None:
        """Log that an active job was due at other times before: these are unknown, so they have no record."""
        if job.id not in self._full.hashes or self._was_active(job) or until <= since:
            return
        note = "its schedule was changed while the service was down; slots of the former one have no record"
        values = (("job_id", job.id), ("since", since), ("until", until), ("note", note))
        self._write(Event(self._started, Level.INFO, "job.changed", values))

    def _was_active(self, job: Job) -> bool:
        """Return whether a job was active before the start, and due at the same times as now."""
        former_hash = self._full.hashes.get(job.id)
        return former_hash is not None and has_same_slots(former_hash, definition_hash(job))

    def has_unrecorded_slot(self, job: Job) -> bool:
        """Return whether the slot of a one-time job, too old to run now, may lack a record. May read the log.

        If its file was written after its instant, it was never due: it is only reported as expired.
        """
        if job.id in self._pending or job.id in self._lagging:
            return True
        if not self._is_known:
            return False
        if not isinstance(job.schedule, Once) or job.schedule.at <= self._settled:
            return False
        at = truncate_to_ms(job.schedule.at)
        if at <= self.ahead and self._look_up(job.id, at - TICK) != EPOCH:
            return False  # it was decided before the clock was set back
        return self._was_active(job) or not _is_late(job)

    def may_still_run(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Return whether the slot of a one-time job is young enough to run, not counting the time of the drain."""
        drain = self._recovered.drain
        if drain is None or not isinstance(job.schedule, Once):
            return False
        start = timetable.start_time(truncate_to_ms(job.schedule.at))
        return now - start - overlap((drain,), start, now) <= timedelta(seconds=job.catch_up)

    def miss_pending(self, job_id: str, reason: str, now: datetime) -> None:
        """Record the pending slots of a job as missed."""
        for slot in self._pending.pop(job_id, ()):
            self.miss(job_id, slot, reason, now)

    def miss_all_pending(self, reason_of: Callable[[str], str], now: datetime) -> None:
        """Record the pending slots of all jobs that were not put, with the reason of each."""
        for job_id in list(self._pending):
            self.miss_pending(job_id, reason_of(job_id), now)

    def miss(self, job_id: str, slot: datetime, reason: str, now: datetime) -> None:
        """Record a slot as missed."""
        missed = MissedSlots(slot, slot, 1, reason=reason, corrects=self._is_corrected(job_id, slot))
        self._write(missed_record(job_id, missed, now))
        self._closed.setdefault(job_id, []).append(slot)


def _is_late(job: Job) -> bool:
    """Return whether the file of a one-time job is newer than its instant."""
    return isinstance(job.schedule, Once) and job.modified_at is not None and job.modified_at > job.schedule.at
