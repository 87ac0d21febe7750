"""What becomes of a job's slots when its definition comes, changes or goes.

Lock: the caller's, for every method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto

from jobscheduler.model import Job
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.checkpoint_builder import CheckpointBuilder
from jobscheduler.scheduler.clock_setback import NO_SETBACK
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.job_recovery import JobHistory, JobRecovery
from jobscheduler.scheduler.records import missed_record
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import NO_EFFECTS, Effect, RunActions
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.decision import MissedSlots
from jobscheduler.timetable.rule_change import NO_CHANGE, RuleChange, rule_change
from jobscheduler.timetable.slots import Circumstances, decide
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK, span_at, unite


class Phase(Enum):
    """How far the service is, or whether another one decides."""

    STARTING = auto()
    RUNNING = auto()
    STANDBY = auto()  # another service decides
    STOPPED = auto()


class DefinitionChanges:
    """Activates, replaces and removes definitions. Each method returns effects, as in `Engine`."""

    def __init__(
        self,
        registry: JobRegistry,
        actions: RunActions,
        checkpoints: CheckpointBuilder,
        recovery: JobRecovery,
        standings: Standings,
        circumstances: Circumstances,
        accounting: Accounting,
        phase: Callable[[], Phase],
    ) -> None:
        """`circumstances` are those of slots while no clock was set back; `phase` returns how far the service is."""
        self._registry = registry
        self._actions = actions
        self._checkpoints = checkpoints
        self._recovery = recovery
        self._standings = standings
        self._circumstances = circumstances
        self._accounting = accounting
        self._phase = phase

    def define(
        self, job: Job, timetable: Timetable, now: datetime, history: JobHistory, *, is_first_sync: bool
    ) -> tuple[JobEntry, list[Effect]]:
        """Activate a definition for slots after `now`; return its entry. It is `being_added` until it has a wake-up."""
        last = history.last_decided
        self._registry.memory.note_decided(job.id, min(last, now))
        self.keep_pending(job.id, now)
        known = self._registry.get(job.id)
        former = NO_SETBACK if known is None else known.setback
        comes_back = self._registry.memory.is_removed(job.id)
        entry = self._registry.get_or_create(job, timetable, now)
        if history.state is not None:
            entry.since, entry.setback = history.state
        self._standings.define(job, now if comes_back else entry.since, now)
        if last > now:
            decided = unite([*entry.setback.decided, (last, last)])
            entry.setback = replace(entry.setback, decided=decided)
        if entry.setback != former:
            self._keep_decided(entry, now)
        effects = self._replace_definition(entry, job, timetable, now)
        effects += self._recovery.recover(entry, now, last, is_first_sync=is_first_sync)
        if is_first_sync and self._phase() is not Phase.STARTING:
            self._checkpoints.require_full()
        self._registry.being_added.add(job.id)
        return entry, effects

    def remove(self, job_id: str, now: datetime) -> list[Effect]:
        """Deactivate a definition; active runs go on, pending slots are missed."""
        entry = self._registry.get(job_id)
        if entry is None:
            return NO_EFFECTS
        effects = self._miss_pending(entry, "deleted", now)
        self._registry.remove(entry, now)
        return effects

    def keep_pending(self, job_id: str, now: datetime) -> None:
        """Account again for the pending slots of a job: a start would else take them for older than its file."""
        entry = self._registry.get(job_id)
        if entry is not None and self._phase() is Phase.RUNNING:
            for slot in entry.pending_slots(now):
                self._accounting.pending(job_id, slot.scheduled, now, slot.starts, slot.extra)

    def _keep_decided(self, entry: JobEntry, now: datetime) -> None:
        """Account for the slots beyond the cursor that are decided; at a start the checkpoint contains them.

        Without this, a crash before the next full checkpoint would reopen those slots.
        """
        if self._phase() is not Phase.STARTING:
            self._accounting.decided_ahead(entry.job.id, entry.setback, now)

    def _replace_definition(self, entry: JobEntry, job: Job, timetable: Timetable, now: datetime) -> list[Effect]:
        """Replace the former definition; with an equal timetable its slots stay, even one whose jitter is running."""
        effects: list[Effect] = []
        if not job.enabled:
            effects = self._miss_pending(entry, "disabled", now)
        change = rule_change(entry.timetable, timetable, entry.since, now) if entry.is_schedulable else NO_CHANGE
        if not (entry.is_schedulable and job.enabled and entry.timetable == timetable):
            effects += self._start_jittering_slot(entry, now)
            entry.cursor = self._registry.initial_cursor(job, now)
        if timetable.zone is not entry.timetable.zone:
            self._checkpoints.require_full()  # it has the rules of the zones
        self._registry.set_definition(entry, job, timetable)
        if change is not NO_CHANGE and job.enabled and self._phase() is Phase.RUNNING:
            effects += self._carry_over(entry, change, now)
        return effects

    def _carry_over(self, entry: JobEntry, change: RuleChange, now: datetime) -> list[Effect]:
        """Account for the slots around a change of the zone's rules: none is repeated, and none is lost.

        Slots that have passed by the new rules are those of an outage, as when the clock is set ahead.
        """
        if change.repeated:
            ahead = entry.setback
            entry.setback = replace(ahead, decided=unite([*ahead.decided, *change.repeated]))
            self._keep_decided(entry, now)
        if not change.passed:
            return []
        circumstances = Circumstances(lambda: ("clock", ()), decided=change.decided)
        slots, cursor = entry.timetable.without_jitter, entry.cursor
        decision = decide(slots, change.passed[0] - TICK, now, self._registry.situation(entry), circumstances)
        self._registry.apply(entry, decision)
        self._registry.decide(entry, cursor)
        return self._actions.apply(entry, decision, now)

    def _start_jittering_slot(self, entry: JobEntry, now: datetime) -> list[Effect]:
        """Start the slot whose jitter is running, under its old definition, before that is replaced."""
        slot = self._pop_jittering_slot(entry, now)
        if slot is None:
            return []
        without_jitter, situation = entry.timetable.without_jitter, self._registry.situation(entry)
        decision = decide(without_jitter, slot - TICK, slot, situation, circumstances_of(entry, self._circumstances))
        return self._actions.apply(entry, decision, now)

    def _pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the slot that only waits for its jitter. During start-up the recovery decides every slot."""
        return None if self._phase() is Phase.STARTING else self._registry.pop_jittering_slot(entry, now)

    def _miss_pending(self, entry: JobEntry, reason: str, now: datetime) -> list[Effect]:
        """Miss the slot that waits for its turn or its jitter. Running attempts go on, but are the last."""
        self._actions.miss_queued(entry, reason, now)
        jittering = self._pop_jittering_slot(entry, now)
        if jittering is not None:
            corrects = span_at(jittering, entry.setback.reopened) is not None
            missed = MissedSlots(jittering, jittering, 1, reason=reason, corrects=corrects)
            self._accounting.record(missed_record(entry.job.id, missed, now))
        return [run.end_attempts for run in entry.active_runs if run.attempts]


def circumstances_of(entry: JobEntry, usual: Circumstances) -> Circumstances:
    """Return what matters for the slots of a job after a change of the clock."""
    ahead = entry.setback
    return replace(usual, decided=ahead.decided, reopened=ahead.reopened)
