"""Recover each job from the outage before this start, as the job is put.

During start-up the runs of the outage are collected. They begin after the first checkpoint, which contains them: a
crash from then on does not run `@reboot` again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from jobscheduler.model import EPOCH, Job, Once, PauseIndex, RecoveredState
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.outage_slots import OutageSlots, RecoveryPhase
from jobscheduler.scheduler.records import missed_record
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import NO_EFFECTS, Effect, RunActions
from jobscheduler.scheduler.state_takeover import StateTakeover
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK


@dataclass(frozen=True, slots=True)
class JobHistory:
    """What is known of a job's slots before this start: the last decided one, and the state of a job that is new.

    The state is since when its slots are decided, and which later than now are.
    """

    last_decided: datetime = EPOCH
    state: tuple[datetime, ClockSetbackState] | None = None


class JobRecovery:
    """Takes over the recovered state, and applies the recovery of each job to the registry.

    Lock: the caller's, except for `history_of`, `has_unrecorded_slot` and `may_still_run`. These may read the log, and
    only one sync at a time calls them.
    """

    def __init__(
        self,
        registry: JobRegistry,
        actions: RunActions,
        takeover: StateTakeover,
        *,
        accounting: Accounting,
        is_starting: Callable[[], bool],
    ) -> None:
        """`is_starting` returns whether the service is starting."""
        self._registry = registry
        self._actions = actions
        self._takeover = takeover
        self._accounting = accounting
        self._is_starting = is_starting
        self._outage: OutageSlots | None = None
        self._pauses_at_start = PauseIndex()
        self._effects: list[Effect] = []

    # -- the start

    def restore(self, state: RecoveredState | None, now: datetime) -> RecoveredState | None:
        """Take over the recovered state and end interrupted runs; return the part of it that is trusted."""
        state, self._outage = self._takeover.take_over(state, now)
        self._pauses_at_start = self._registry.pauses.index
        return state

    def forget(self) -> None:
        """Forget the former service: another one decides, and the next state to restore counts."""
        self._outage, self._effects = None, []

    def end_startup(self, now: datetime) -> list[Effect]:
        """Return the effects of the outage; pending slots of jobs that were not put are missed."""
        if self._outage is not None:
            jobs = self._registry.jobs
            self._outage.pending.miss_all(lambda job_id: "disabled" if job_id in jobs else "deleted", now)
            self._remember_absent(self._outage, now)
        effects, self._effects = self._effects, []
        return effects

    def _remember_absent(self, outage: OutageSlots, now: datetime) -> None:
        """Remember the jobs of the former service that are not active now but have slots that may still run.

        Their instant may be over only by a wrong clock. The next checkpoint has to name them, or a second start would
        know nothing of these slots.
        """
        full, memory = outage.former.full, self._registry.memory
        for job_id in {*full.missed, *full.reopened}:
            if job_id not in self._registry.jobs and not memory.is_removed(job_id):
                since, ahead = outage.former_decisions.state_of_absent(job_id, now)
                memory.remember_absent(job_id, since, ahead, now)

    def _phase(self, *, is_first_sync: bool = False) -> RecoveryPhase:
        if self._is_starting():
            return RecoveryPhase.STARTUP
        return RecoveryPhase.FIRST_SYNC if is_first_sync else RecoveryPhase.LATER

    # -- a job that is put

    def history_of(self, job: Job, now: datetime) -> JobHistory:
        """Return what is known of a job's slots before this start; record a slot as missed if nothing can be known."""
        outage, last = self._outage, self._registry.memory.last_decided(job.id)
        remembered = last
        if outage is None:
            return JobHistory()
        if not job.enabled or (isinstance(job.schedule, Once) and last >= job.schedule.at):
            last = EPOCH
        else:
            last, is_unknown = outage.former_decisions.last_decided_slot(job, now, is_startup=self._is_starting())
            if is_unknown:
                outage.pending.miss(job.id, last, "unknown", now)
        if not self._registry.is_new(job.id):
            return JobHistory(last)
        return JobHistory(last, outage.former_decisions.state_of(job, now, max(last, remembered)))

    def recover(self, entry: JobEntry, now: datetime, last: datetime, *, is_first_sync: bool) -> list[Effect]:
        """Account for the outage of one job; during start-up its runs wait until all jobs are known.

        `last` is the last slot that was decided before the start.
        """
        outage, job, phase = self._outage, entry.job, self._phase(is_first_sync=is_first_sync)
        if outage is None or not outage.needs_recovery(job, now, phase):
            return NO_EFFECTS
        entry.note_elsewhere(outage.former.at_work(job.id))
        if not job.enabled:
            outage.mark_recovered(job, now)
            return NO_EFFECTS
        paused_until = self._paused_until(job, phase)
        if entry.timetable.at_boot and not outage.former.is_boot_known:
            decision = outage.decide_reboot(job, entry.cursor, now, phase, paused_until)
        else:
            is_active = entry.situation().active_runs
            decision = outage.recover(job, entry.timetable, now, last, phase, paused_until, is_active=is_active)
        # not `now`: every slot that has begun is decided, but the jitter of one may be running
        last_decided = self._registry.memory.last_decided(job.id)
        if last_decided > decision.cursor:
            decision = replace(decision, cursor=last_decided)
        decided = (*(slot for slot, _ in decision.actions), *(missed.first for missed in decision.missed))
        if decided:  # earlier ones, of a job that is new to the log; a clock that is set back must not repeat them
            entry.since = min(entry.since, *(slot - TICK for slot in decided))
        self._registry.apply(entry, decision)
        effects = self._actions.apply(entry, decision, now)
        if phase is not RecoveryPhase.STARTUP:
            return effects
        self._effects += effects
        return NO_EFFECTS

    def _paused_until(self, job: Job, phase: RecoveryPhase) -> datetime | None:
        """Return the instant before which slots of the outage are skipped.

        The pauses of the start count: they may have been resumed since. Where the outage of a job goes on until now,
        because its source could not be read, the present ones do.
        """
        pauses = self._registry.pauses.index if phase is RecoveryPhase.FIRST_SYNC else self._pauses_at_start
        return pauses.paused_until(job.id, job.tags)

    # -- a one-time job whose instant is over

    def has_unrecorded_slot(self, job: Job, now: datetime) -> bool:
        """Return whether the slot of an expired one-time job may lack a record."""
        outage = self._outage
        if outage is None or not job.enabled or not outage.former_decisions.has_unrecorded_slot(job):
            return False
        return outage.needs_recovery(job, now, self._phase())

    def may_still_run(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Return whether an expired one-time job is only too old because the service was draining."""
        outage = self._outage
        return self._is_starting() and outage is not None and outage.former_decisions.may_still_run(job, timetable, now)

    def miss_expired(self, job: Job, timetable: Timetable, now: datetime) -> bool:
        """Record the slot of an expired one-time job as missed; return whether there was such a slot."""
        if self._outage is None:
            return False
        phase = self._phase()
        decision = self._outage.recover(job, timetable, now, EPOCH, phase, self._paused_until(job, phase))
        for missed in decision.missed:
            self._accounting.record(missed_record(job.id, missed, now))
            self._registry.remember_missed(job.id, missed, now)
        return bool(decision.missed)
