"""Decides what becomes of slots: a state machine without a lock, a thread or a wait.

1. Each method changes the state, writes log lines and returns effects. The caller performs them, in order, after its
   lock was released, because they may take other locks or wake other threads.
2. Log lines are queued while the lock is held, which never waits. So a checkpoint cannot fall between a decision and
   its line.
3. Until `start` the engine collects the runs of the outage. They begin after the first checkpoint, which contains them:
   a crash from then on does not run `@reboot` again.

Lock: the caller's, for every method without another note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from jobscheduler.model import (
    EPOCH,
    Checkpoint,
    Event,
    Job,
    Level,
    LogEntry,
    LogFields,
    Once,
    PendingSlot,
    Record,
    RecoveredState,
)
from jobscheduler.runner import Run
from jobscheduler.scheduler.decided_ahead import NOTHING_AHEAD, DecidedAhead
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.log_trust import trusted_state
from jobscheduler.scheduler.records import decided_events, missed_record
from jobscheduler.scheduler.recovery import OutageRecovery, RecoveryPhase
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import Effect, NewRun, RunActions
from jobscheduler.timetable.slots import (
    Action,
    Circumstances,
    MissedSlots,
    ReasonOf,
    decide,
    decide_manual_run,
)
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.spans import TICK, span_at, unite

MAX_CLOCK_SET_BACK = timedelta(hours=3)  # a longer step back is reported: jobs wait until the clock has caught up
MIN_CLOCK_STEP = timedelta(seconds=1)  # a shorter step back is ignored: the clock soon passes what was decided

History = tuple[datetime, tuple[datetime, DecidedAhead] | None]  # last slot decided before the start; state of the job
NO_EFFECTS: list[Effect] = []  # shared, never changed


class Phase(Enum):
    """How far the service is."""

    STARTING = auto()
    RUNNING = auto()
    STOPPED = auto()


_STOPPED = Phase.STOPPED  # a module global is faster than an attribute of an enum; read for each due slot


class Engine:
    """The state of all jobs and the rules for their slots."""

    def __init__(
        self,
        *,
        new_run: NewRun,
        submit: Callable[[Run], object],
        due_jobs: Callable[[datetime], Iterable[str]],
        write: Callable[[LogEntry], object],
        clock: Callable[[], datetime],
        elapsed: Callable[[], float],
        late_reason: Callable[[], ReasonOf],
        host: str,
        host_id: str,
        boot: str,
    ) -> None:
        """`new_run` and `submit` create and dispatch a run; `due_jobs` lists jobs with a wake-up up to an instant.

        The other arguments are as in `Scheduler`.
        """
        self.registry = JobRegistry()
        self.registry.accounted_since = clock()
        self.phase = Phase.STARTING
        self.activity = 0  # grows with each decision, manual run and record
        self.boot = boot
        self._actions = RunActions(new_run, submit, write, clock)
        self._due_jobs = due_jobs
        self._write = write
        self._clock = clock
        self._elapsed = elapsed
        self._late_reason = late_reason
        self._normal = Circumstances(late_reason)
        self._host = host
        self._host_id = host_id
        self._wants_full = True
        self._recovery: OutageRecovery | None = None
        self._start_effects: list[Effect] = []
        self._settled_at_stop: tuple[datetime, tuple[PendingSlot, ...]] | None = None

    # -- start and stop

    def restore(self, state: RecoveredState | None, now: datetime) -> RecoveredState | None:
        """Take over the recovered state and end interrupted runs; return the part of it that is trusted."""
        state, is_same_boot = trusted_state(state, self._host_id, self.boot, self._write, now)
        recovery = self._recovery = OutageRecovery(state, self.boot, self._write, now, self._elapsed())
        recovery.is_same_boot |= is_same_boot
        self.registry.accounted_since, self.registry.settled_floor = recovery.floor, now
        if state is None:
            return None
        recovery.fail_interrupted(now)
        if recovery.ahead > now:
            self.registry.clock_ahead = recovery.ahead
            self._log_clock_set_back(recovery.ahead - now, now)
        for job_id, ranges in state.recorded.items():
            self.registry.note_decided(job_id, min(now, max(last for _, last in ranges)))
        return state

    def start(self) -> list[Effect]:
        """Leave the start-up phase; return the effects of the outage. Pending slots without a job are missed."""
        self.phase = Phase.RUNNING
        if self._recovery is not None:
            jobs = self.registry.jobs
            self._recovery.miss_all_pending(lambda job_id: "disabled" if job_id in jobs else "deleted", self._clock())
        effects, self._start_effects = self._start_effects, []
        return effects

    def stop(self) -> bool:
        """Decide no more slots; return False if the engine was stopped before."""
        if self.phase is Phase.STOPPED:
            return False
        self._settled_at_stop = self._settled()
        self.phase = Phase.STOPPED
        return True

    # -- definitions

    def history_of(self, job: Job, now: datetime) -> History:
        """Return what is known of a job's slots before this start; record a slot as missed if nothing can be known.

        Lock: none. It may read the log, and only one sync at a time calls it.
        """
        recovery, last = self._recovery, self.registry.last_decided(job.id)
        if recovery is None:
            return EPOCH, None
        if not job.enabled or (isinstance(job.schedule, Once) and last >= job.schedule.at):
            last = EPOCH
        else:
            last, is_unknown = recovery.last_decided_slot(job, now, self._recovery_phase())
            if is_unknown:
                recovery.miss(job.id, last, "unknown", now)
        return last, recovery.state_of(job, now) if self.registry.is_new(job.id) else None

    def define(
        self, job: Job, timetable: Timetable, now: datetime, history: History, *, is_first_sync: bool
    ) -> tuple[JobEntry, list[Effect]]:
        """Activate a definition for slots after `now`; return its entry."""
        last, state = history
        self.registry.note_decided(job.id, min(last, now))
        self.log_pending(job.id, now)
        known = self.registry.get(job.id)
        former = NOTHING_AHEAD if known is None else known.decided_ahead
        entry = self.registry.get_or_create(job, timetable, now)
        if state is not None:
            entry.since, entry.decided_ahead = state
        if last > now:
            decided = unite([*entry.decided_ahead.decided, (last, last)])
            entry.decided_ahead = replace(entry.decided_ahead, decided=decided)
        if entry.decided_ahead != former:
            self._log_decided(entry, now)
        effects = self._replace_definition(entry, job, timetable, now)
        effects += self._recover(entry, now, last, self._recovery_phase(is_first_sync=is_first_sync))
        self._wants_full |= is_first_sync and self.phase is not Phase.STARTING
        self.registry.being_added.add(job.id)
        return entry, effects

    def remove(self, job_id: str, now: datetime) -> list[Effect]:
        """Deactivate a definition; active runs go on, pending slots are missed."""
        entry = self.registry.get(job_id)
        if entry is None:
            return NO_EFFECTS
        effects = self._miss_pending(entry, "deleted", now)
        self.registry.remove(entry, now)
        return effects

    def log_pending(self, job_id: str, now: datetime) -> None:
        """Log the pending slots of a job again: a start would else take them for older than the changed file."""
        entry = self.registry.get(job_id)
        if entry is not None and self.phase is Phase.RUNNING:
            for event in entry.pending_slot_events(now):
                self._write(event)

    def _log_decided(self, entry: JobEntry, now: datetime) -> None:
        """Log the slots beyond the cursor that count as decided; at a start the checkpoint contains them.

        Without these lines, a crash before the next full checkpoint would reopen those slots.
        """
        if self.phase is not Phase.STARTING:
            for event in decided_events(entry.job.id, entry.decided_ahead, now):
                self._write(event)

    def _replace_definition(self, entry: JobEntry, job: Job, timetable: Timetable, now: datetime) -> list[Effect]:
        """Replace the former definition; with an equal timetable its slots stay, even one whose jitter is running."""
        effects: list[Effect] = []
        if not job.enabled:
            effects = self._miss_pending(entry, "disabled", now)
        if not (entry.is_schedulable and job.enabled and entry.timetable == timetable):
            effects += self._start_jittering_slot(entry, now)
            entry.cursor = self.registry.initial_cursor(job, now)
        self.registry.set_definition(entry, job, timetable)
        return effects

    def _start_jittering_slot(self, entry: JobEntry, now: datetime) -> list[Effect]:
        """Start the slot whose jitter is running, under its old definition, before that is replaced."""
        slot = self._pop_jittering_slot(entry, now)
        if slot is None:
            return []
        without_jitter, situation = entry.timetable.without_jitter, self.registry.situation(entry)
        decision = decide(without_jitter, slot - TICK, slot, situation, self._circumstances(entry))
        self.activity += 1
        return self._actions.apply(entry, decision, now)

    def _pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the slot that only waits for its jitter. During start-up the recovery decides every slot."""
        return None if self.phase is Phase.STARTING else self.registry.pop_jittering_slot(entry, now)

    def _miss_pending(self, entry: JobEntry, reason: str, now: datetime) -> list[Effect]:
        """Miss the slot that waits for its turn or its jitter. Running attempts go on, but are the last."""
        self._actions.miss_queued(entry, reason, now)
        jittering = self._pop_jittering_slot(entry, now)
        if jittering is not None:
            corrects = span_at(jittering, entry.decided_ahead.reopened) is not None
            missed = MissedSlots(jittering, jittering, 1, reason=reason, corrects=corrects)
            self._write(missed_record(entry.job.id, missed, now))
        return [run.end_attempts for run in entry.active_runs if run.attempts]

    # -- the outage before this start

    def _recovery_phase(self, *, is_first_sync: bool = False) -> RecoveryPhase:
        if self.phase is Phase.STARTING:
            return RecoveryPhase.STARTUP
        return RecoveryPhase.FIRST_SYNC if is_first_sync else RecoveryPhase.LATER

    def _recover(self, entry: JobEntry, now: datetime, last: datetime, phase: RecoveryPhase) -> list[Effect]:
        """Account for the outage of one job; during start-up its runs wait until all jobs are known."""
        recovery, job = self._recovery, entry.job
        if recovery is None or not recovery.needs_recovery(job, now, phase):
            return []
        if not job.enabled:
            recovery.mark_recovered(job, now)
            return []
        if entry.timetable.at_boot and not recovery.is_same_boot:
            decision = recovery.decide_reboot(job, entry.cursor, now, phase)
        else:
            decision = recovery.recover(job, entry.timetable, now, last, phase)
        # not `now`: every slot that has begun is decided, but the jitter of one may be running
        decision = replace(decision, cursor=max(decision.cursor, self.registry.last_decided(job.id)))
        entry.since = min([entry.since, *(slot - TICK for slot, _ in decision.actions)])
        self.registry.apply(entry, decision, self._elapsed())
        self.activity += 1
        effects = self._actions.apply(entry, decision, now)
        if phase is not RecoveryPhase.STARTUP:
            return effects
        self._start_effects += effects
        return []

    def has_unrecorded_slot(self, job: Job, now: datetime) -> bool:
        """Return whether the slot of an expired one-time job may lack a record.

        Lock: none. It may read the log, and only one sync at a time calls it.
        """
        recovery, phase = self._recovery, self._recovery_phase()
        if recovery is None or not job.enabled or not recovery.has_unrecorded_slot(job):
            return False
        return recovery.needs_recovery(job, now, phase)

    def may_still_run(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Return whether an expired one-time job is only too old because the service was draining."""
        recovery = self._recovery
        return self.phase is Phase.STARTING and recovery is not None and recovery.may_still_run(job, timetable, now)

    def miss_expired(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Record the slot of an expired one-time job as missed; return whether there was such a slot."""
        if self._recovery is None:
            return False
        decision = self._recovery.recover(job, timetable, now, EPOCH, self._recovery_phase())
        for missed in decision.missed:
            self._write(missed_record(job.id, missed, now))
            self.registry.remember_missed(job.id, missed, now, self._elapsed())
        return bool(decision.missed)

    # -- slots and runs

    def decide_due(self, job_id: str, now: datetime) -> list[Effect]:
        """Decide the slots of a job up to `now`."""
        registry = self.registry
        entry = registry.jobs.get(job_id)
        if entry is None or self.phase is _STOPPED or not entry.is_schedulable:
            return NO_EFFECTS
        circumstances = self._normal if entry.decided_ahead is NOTHING_AHEAD else self._circumstances(entry)
        situation = entry.situation(paused=job_id in registry.paused)
        decision = decide(entry.timetable, entry.cursor, now, situation, circumstances)
        if decision.cursor == entry.cursor:
            return NO_EFFECTS
        registry.apply(entry, decision, self._elapsed())
        registry.settled_floor = max(registry.settled_floor, decision.cursor)
        self.activity += 1
        return self._actions.apply(entry, decision, now)

    def _circumstances(self, entry: JobEntry) -> Circumstances:
        return Circumstances(self._late_reason, entry.decided_ahead.decided, entry.decided_ahead.reopened)

    def run_ended(self, record: Record) -> Run | None:
        """Write the record of a run that has ended; return the queued run if it may begin now."""
        queued = self.registry.run_ended(record)
        self._write(record)
        self.activity += 1
        return queued

    def run_now(self, job: Job, by: str, parent: Run | None) -> tuple[Action, Run | None, list[Effect]]:
        """Decide about a manual run.

        Raises: RuntimeError if the engine was stopped.
        """
        if self.phase is Phase.STOPPED:
            raise RuntimeError("the service is stopping")
        entry = self.registry.get(job.id)
        if entry is None:
            entry = JobEntry(job, timetable_of(job, self._host), self._clock(), is_active=False)
            self.registry.jobs[job.id] = entry
        action = decide_manual_run(entry.situation())
        self.activity += 1
        extra: LogFields = (("trigger", "manual" if parent is None else f"run:{parent.run_id}"), ("by", by))
        run, effects = self._actions.perform(entry, job, None, action, extra, parent)
        if run is not None:  # logged at once, because it may be queued when the service crashes
            values = (("job_id", job.id), ("run_id", run.run_id), *extra)
            self._write(Event(self._clock(), Level.INFO, "run.requested", values))
        return action, run, effects

    def pause(self, job_id: str) -> tuple[bool, list[Effect]]:
        """Skip all slots of a job from now on, pending ones included; return whether that is a change."""
        is_new = job_id not in self.registry.paused
        self.registry.paused.add(job_id)
        entry = self.registry.get(job_id)
        return is_new, NO_EFFECTS if entry is None else self._actions.skip_pending(entry)

    def resume(self, job_id: str) -> bool:
        """End a pause; return whether that is a change."""
        was_paused = job_id in self.registry.paused
        self.registry.paused.discard(job_id)
        return was_paused

    # -- the clock and the checkpoint

    def accept_clock(self, now: datetime) -> list[JobEntry] | None:
        """Note the time; after a step back return the jobs that need another wake-up, else None.

        After a step back, what was decided stays decided, and all other slots are due in their turn.
        """
        if self.phase is not Phase.RUNNING or self.registry.note_time(now) < MIN_CLOCK_STEP:
            return None
        rewound = self.registry.clock_set_back(now, self._elapsed())
        self._wants_full = True
        self._log_clock_set_back((self.registry.clock_ahead or now) - now, now)
        return rewound

    def _log_clock_set_back(self, behind: timedelta, now: datetime) -> None:
        """Log a step back that makes jobs wait for long."""
        if behind > MAX_CLOCK_SET_BACK:
            values = (("until", now + behind), ("set_by", -behind.total_seconds()))
            self._write(Event(now, Level.WARNING, "clock.accepted", values))

    def checkpoint(self, *, full: bool) -> Checkpoint:
        """Return the checkpoint of now; a full one also after changes that no log line tells."""
        settled, lagging = self._settled_at_stop or self._settled()
        elapsed = self._elapsed()
        content = self.registry.full_checkpoint(self._host_id, elapsed) if full or self._wants_full else None
        return self.registry.checkpoint(settled, lagging, self.boot, elapsed, content)

    def checkpoint_written(self) -> None:
        """Note that the log has the last checkpoint."""
        self._wants_full = False

    def _settled(self) -> tuple[datetime, tuple[PendingSlot, ...]]:
        now = max(self._clock(), self.registry.settled_floor)
        return self.registry.settled_until(now, self._due_jobs(now))
