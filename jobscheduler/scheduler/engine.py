"""Decides what becomes of slots: a state machine without a lock, a thread or a wait.

1. Each method changes the state, writes log lines and returns effects. The caller performs them, in order, after its
   lock was released, because they may take other locks or wake other threads.
2. Log lines are queued while the lock is held, which never waits. So a checkpoint cannot fall between a decision and
   its line.

Lock: the caller's, for every method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto

from jobscheduler.model import Job, LogEntry, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.checkpoint_builder import CheckpointBuilder
from jobscheduler.scheduler.clock_progress import ClockProgress
from jobscheduler.scheduler.clock_setback import NO_SETBACK
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.job_recovery import JobHistory, JobRecovery
from jobscheduler.scheduler.pause_actions import PauseActions
from jobscheduler.scheduler.pauses import Pauses
from jobscheduler.scheduler.records import decided_events, missed_record
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import NO_EFFECTS, Effect, NewRun, RunActions
from jobscheduler.scheduler.stop_actions import StopActions, StoppedRun, StopTargets
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.decision import MissedSlots
from jobscheduler.timetable.overlap import Action, decide_manual_run
from jobscheduler.timetable.rule_change import NO_CHANGE, RuleChange, rule_change
from jobscheduler.timetable.slots import Circumstances, ReasonOf, decide
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, span_at, unite


class Phase(Enum):
    """How far the service is."""

    STARTING = auto()
    RUNNING = auto()
    STOPPED = auto()


_STOPPED = Phase.STOPPED  # a module global is faster than an attribute of an enum; read for each due slot


class Engine:
    """The state of all jobs and the rules for their slots.

    `recovery` accounts for the time before this start, `checkpoints` keeps the log up to date for the next one, and
    `pauses` changes what is paused.
    """

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
        host_id: str,
        boot: str,
        standings: Standings,
    ) -> None:
        """`new_run` and `submit` create and dispatch a run; `due_jobs` lists jobs with a wake-up up to an instant.

        The other arguments are as in `Scheduler`.
        """
        self.phase = Phase.STARTING
        self.registry = JobRegistry(Pauses(elapsed))
        self.actions = RunActions(new_run, submit, write, clock)
        self.stops = StopActions(self.registry, submit, write, clock)
        self.pauses = PauseActions(self.registry, self.actions, write)
        self.progress = ClockProgress(write)
        self.checkpoints = CheckpointBuilder(
            self.registry,
            self.progress,
            due_jobs=due_jobs,
            clock=clock,
            elapsed=elapsed,
            host_id=host_id,
            boot=boot,
            standings=standings,
        )
        self.recovery = JobRecovery(
            self.registry,
            self.progress,
            self.checkpoints,
            self.actions,
            write=write,
            elapsed=elapsed,
            is_starting=lambda: self.phase is Phase.STARTING,
            host_id=host_id,
            boot=boot,
            standings=standings,
        )
        self._standings = standings
        self._write = write
        self._elapsed = elapsed
        self._circumstances = Circumstances(late_reason)

    # -- start and stop

    def start(self, now: datetime) -> list[Effect]:
        """Leave the start-up phase; return the effects of the outage."""
        self.phase = Phase.RUNNING
        effects = self.recovery.end_startup(now)
        self.pauses.note_time(now)
        return effects

    def stop(self) -> bool:
        """Decide no more slots; return False if the engine was stopped before."""
        if self.phase is Phase.STOPPED:
            return False
        self.checkpoints.freeze()
        self.phase = Phase.STOPPED
        return True

    # -- definitions

    def define(
        self, job: Job, timetable: Timetable, now: datetime, history: JobHistory, *, is_first_sync: bool
    ) -> tuple[JobEntry, list[Effect]]:
        """Activate a definition for slots after `now`; return its entry. It is `being_added` until it has a wake-up."""
        last = history.last_decided
        self.registry.memory.note_decided(job.id, min(last, now))
        self.log_pending(job.id, now)
        known = self.registry.get(job.id)
        former = NO_SETBACK if known is None else known.setback
        comes_back = self.registry.memory.is_removed(job.id)
        entry = self.registry.get_or_create(job, timetable, now)
        if history.state is not None:
            entry.since, entry.setback = history.state
        self._standings.define(job, now if comes_back else entry.since, now)
        if last > now:
            decided = unite([*entry.setback.decided, (last, last)])
            entry.setback = replace(entry.setback, decided=decided)
        if entry.setback != former:
            self._log_decided(entry, now)
        effects = self._replace_definition(entry, job, timetable, now)
        effects += self.recovery.recover(entry, now, last, is_first_sync=is_first_sync)
        if is_first_sync and self.phase is not Phase.STARTING:
            self.checkpoints.require_full()
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
            for event in decided_events(entry.job.id, entry.setback, now):
                self._write(event)

    def _replace_definition(self, entry: JobEntry, job: Job, timetable: Timetable, now: datetime) -> list[Effect]:
        """Replace the former definition; with an equal timetable its slots stay, even one whose jitter is running."""
        effects: list[Effect] = []
        if not job.enabled:
            effects = self._miss_pending(entry, "disabled", now)
        change = rule_change(entry.timetable, timetable, entry.since, now) if entry.is_schedulable else NO_CHANGE
        if not (entry.is_schedulable and job.enabled and entry.timetable == timetable):
            effects += self._start_jittering_slot(entry, now)
            entry.cursor = self.registry.initial_cursor(job, now)
        if timetable.zone is not entry.timetable.zone:
            self.checkpoints.require_full()  # it has the rules of the zones
        self.registry.set_definition(entry, job, timetable)
        if change is not NO_CHANGE and job.enabled and self.phase is Phase.RUNNING:
            effects += self._carry_over(entry, change, now)
        return effects

    def _carry_over(self, entry: JobEntry, change: RuleChange, now: datetime) -> list[Effect]:
        """Account for the slots around a change of the zone's rules: none is repeated, and none is lost.

        Slots that have passed by the new rules are those of an outage, as when the clock is set ahead.
        """
        if change.repeated:
            ahead = entry.setback
            entry.setback = replace(ahead, decided=unite([*ahead.decided, *change.repeated]))
            self._log_decided(entry, now)
        if not change.passed:
            return []
        circumstances = Circumstances(lambda: ("clock", ()), decided=change.decided)
        slots, cursor = entry.timetable.without_jitter, entry.cursor
        decision = decide(slots, change.passed[0] - TICK, now, self.registry.situation(entry), circumstances)
        self.registry.apply(entry, decision, self._elapsed())
        self.registry.decide(entry, cursor)
        return self.actions.apply(entry, decision, now)

    def _start_jittering_slot(self, entry: JobEntry, now: datetime) -> list[Effect]:
        """Start the slot whose jitter is running, under its old definition, before that is replaced."""
        slot = self._pop_jittering_slot(entry, now)
        if slot is None:
            return []
        without_jitter, situation = entry.timetable.without_jitter, self.registry.situation(entry)
        decision = decide(without_jitter, slot - TICK, slot, situation, self._circumstances_of(entry))
        return self.actions.apply(entry, decision, now)

    def _pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the slot that only waits for its jitter. During start-up the recovery decides every slot."""
        return None if self.phase is Phase.STARTING else self.registry.pop_jittering_slot(entry, now)

    def _miss_pending(self, entry: JobEntry, reason: str, now: datetime) -> list[Effect]:
        """Miss the slot that waits for its turn or its jitter. Running attempts go on, but are the last."""
        self.actions.miss_queued(entry, reason, now)
        jittering = self._pop_jittering_slot(entry, now)
        if jittering is not None:
            corrects = span_at(jittering, entry.setback.reopened) is not None
            missed = MissedSlots(jittering, jittering, 1, reason=reason, corrects=corrects)
            self._write(missed_record(entry.job.id, missed, now))
        return [run.end_attempts for run in entry.active_runs if run.attempts]

    # -- slots and runs

    def decide_due(self, job_id: str, now: datetime) -> list[Effect]:
        """Decide the slots of a job up to `now`."""
        registry = self.registry
        entry = registry.jobs.get(job_id)
        if entry is None or self.phase is _STOPPED or not entry.is_schedulable:
            return NO_EFFECTS
        circumstances = self._circumstances if entry.setback is NO_SETBACK else self._circumstances_of(entry)
        if registry.pauses.is_empty:  # the usual case, without a further call
            situation = entry.situation()
        else:
            self.pauses.note_time(now)
            situation = registry.situation(entry)
        decision = decide(entry.timetable, entry.cursor, now, situation, circumstances)
        if decision.cursor == entry.cursor:
            return NO_EFFECTS
        registry.apply(entry, decision, self._elapsed())
        progress = self.progress
        progress.settled_floor = max(progress.settled_floor, decision.cursor)
        return self.actions.apply(entry, decision, now)

    def _circumstances_of(self, entry: JobEntry) -> Circumstances:
        """Return what matters for the slots of a job after a change of the clock."""
        ahead = entry.setback
        return replace(self._circumstances, decided=ahead.decided, reopened=ahead.reopened)

    def run_ended(self, record: Record) -> Run | None:
        """Write the record of a run that has ended; return the queued run if it may begin now."""
        queued = self.registry.run_ended(record)
        self._write(record)
        self.actions.activity += 1
        return queued

    def run_now(
        self, job: Job, timetable: Timetable, by: str, parent: Run | None, now: datetime
    ) -> tuple[Action, Run | None, list[Effect]]:
        """Decide about a manual run.

        Raises: RuntimeError if the engine was stopped.
        """
        self.require_running()
        entry = self.registry.get(job.id)
        if entry is None:
            entry = self.registry.jobs[job.id] = JobEntry(job, timetable, now, is_active=False)
        action = decide_manual_run(entry.situation())
        return action, *self.actions.perform_manual(entry, job, action, by, parent)

    def stop_runs(self, targets: StopTargets, by: str) -> tuple[list[StoppedRun], list[Effect]]:
        """Stop runs at a person's request, also while the service stops; return them."""
        self.actions.activity += 1
        return self.stops.stop(targets, by, may_skip=self.phase is not Phase.STOPPED)

    def require_running(self) -> None:
        """Check that slots are decided.

        Raises: RuntimeError if the engine was stopped.
        """
        if self.phase is Phase.STOPPED:
            raise RuntimeError("the service is stopping")

    # -- the clock

    def accept_clock(self, now: datetime) -> list[JobEntry] | None:
        """Note the time; after a step back return the jobs that need another wake-up, else None.

        After a step back, what was decided stays decided, and all other slots are due in their turn.
        """
        if self.phase is not Phase.RUNNING:
            return None
        self.pauses.note_time(now)
        if not self.progress.note(now):
            return None
        self.checkpoints.require_full()
        self.pauses.clock_set_back(now)
        return self.registry.clock_set_back(now, self._elapsed())
