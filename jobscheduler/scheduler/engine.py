"""Decides what becomes of slots: a state machine without a lock, a thread or a wait.

1. Each method changes the state, accounts for that and returns effects. The caller performs them, in order, after its
   lock was released, because they may take other locks or wake other threads.
2. `Accounting` takes decisions while the lock is held, and never waits. So a checkpoint cannot fall between a decision
   and what is kept of it.

Lock: the caller's, for every method.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from datetime import datetime

from jobscheduler.model import Job, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.checkpoint_builder import CheckpointBuilder
from jobscheduler.scheduler.clock_progress import ClockProgress
from jobscheduler.scheduler.clock_setback import NO_SETBACK
from jobscheduler.scheduler.definition_changes import DefinitionChanges, Phase, circumstances_of
from jobscheduler.scheduler.handover import cancel_waiting, forget_decisions, keep_elsewhere
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.job_recovery import JobRecovery
from jobscheduler.scheduler.pause_actions import PauseActions
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import NO_EFFECTS, Claim, Effect, NewRun, RunActions
from jobscheduler.scheduler.standby import StandsBy
from jobscheduler.scheduler.state_takeover import StateTakeover
from jobscheduler.scheduler.stop_actions import StopActions, StoppedRun, StopTargets
from jobscheduler.scheduler.surroundings import Clocks, SchedulerHost
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.overlap import Action, decide_manual_run
from jobscheduler.timetable.slots import Circumstances, decide
from jobscheduler.timetable.timetable import Timetable

_STOPPED, _STANDBY = Phase.STOPPED, Phase.STANDBY  # module globals are faster than attributes of an enum


class Engine:
    """The state of all jobs and the rules for their slots.

    `definitions` activates and removes jobs, `recovery` accounts for the time before this start, `checkpoints` keeps
    the account up to date for the next one, and `pauses` changes what is paused.
    """

    def __init__(
        self,
        *,
        new_run: NewRun,
        submit: Callable[[Run], object],
        due_jobs: Callable[[datetime], Iterable[str]],
        accounting: Accounting,
        clocks: Clocks,
        host: SchedulerHost,
        standings: Standings,
        claim: Claim | None = None,
        stands_by: bool = False,
    ) -> None:
        """`new_run` and `submit` create and dispatch a run; `due_jobs` lists jobs with a wake-up up to an instant.

        `claim` asks for the slot of a run, where other services may have it. `stands_by`: another one decides at first.
        """
        self.phase = Phase.STANDBY if stands_by else Phase.STARTING
        self.registry = registry = JobRegistry(clocks.elapsed)
        self.progress = ClockProgress(accounting.note)
        self.actions = RunActions(new_run, submit, accounting, clocks.now, claim)
        self.stops = StopActions(registry, submit, accounting, clocks.now)
        self.pauses = PauseActions(registry, self.actions, accounting)
        self.checkpoints = checkpoints = CheckpointBuilder(
            registry, self.progress, due_jobs=due_jobs, clocks=clocks, host=host, standings=standings
        )
        takeover = StateTakeover(registry, self.progress, checkpoints, accounting, clocks.elapsed, host, standings)
        self.recovery = JobRecovery(
            registry, self.actions, takeover, accounting=accounting, is_starting=lambda: self.phase is Phase.STARTING
        )
        self._circumstances = circumstances = Circumstances(clocks.reason_of)
        self.definitions = DefinitionChanges(
            registry, self.actions, checkpoints, self.recovery, standings, circumstances, accounting, lambda: self.phase
        )

    # -- start and stop

    def start(self, now: datetime) -> list[Effect]:
        """Leave the start-up phase; return the effects of the outage. A service that stands by decides nothing yet."""
        if self.phase is Phase.STANDBY:
            return NO_EFFECTS
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

    # -- several services

    def stand_by(self, beginning: Container[Run]) -> list[Run]:
        """Decide nothing from now on, and forget what was decided; return the runs that are cancelled.

        They had not begun, and get no record: the next leader decides about them. Runs at work go on. So do those that
        are `beginning`, if they may: the answer to that says which service runs the slot.
        """
        if self.phase in (_STOPPED, _STANDBY):
            return []
        self.phase = Phase.STANDBY
        self.recovery.forget()
        return cancel_waiting(self.registry, beginning)

    def begin_to_lead(self) -> list[Job]:
        """Return to the start-up phase, as a service that knows no job; return the jobs that are to be put again.

        Raises: RuntimeError if the service does not stand by.
        """
        if self.phase is not Phase.STANDBY:
            raise RuntimeError(f"the scheduler is {self.phase.name}, and does not stand by")
        self.phase = Phase.STARTING
        return forget_decisions(self.registry)

    def keep_elsewhere(self, at_work: Container[str]) -> list[Run]:
        """Keep only these runs of other services (their ids); return the queued runs that may begin now."""
        return keep_elsewhere(self.registry, at_work)

    # -- slots and runs

    def decide_due(self, job_id: str, now: datetime) -> list[Effect]:
        """Decide the slots of a job up to `now`."""
        registry = self.registry
        entry = registry.jobs.get(job_id)
        phase = self.phase
        if entry is None or phase is _STOPPED or not entry.is_schedulable:
            return NO_EFFECTS
        if phase is _STANDBY:
            entry.cursor = max(entry.cursor, now)  # so the next slot is one to come, and none waits for its jitter
            return NO_EFFECTS
        usual = self._circumstances
        circumstances = usual if entry.setback is NO_SETBACK else circumstances_of(entry, usual)
        if registry.pauses.is_empty:  # the usual case, without a further call
            situation = entry.situation()
        else:
            self.pauses.note_time(now)
            situation = registry.situation(entry)
        decision = decide(entry.timetable, entry.cursor, now, situation, circumstances)
        if decision.cursor == entry.cursor:
            return NO_EFFECTS
        registry.apply(entry, decision)
        progress = self.progress
        progress.settled_floor = max(progress.settled_floor, decision.cursor)
        return self.actions.apply(entry, decision, now)

    def run_ended(self, record: Record) -> Run | None:
        """Write the record of a run that has ended; return the queued run if it may begin now."""
        queued = self.registry.run_ended(record)
        self.actions.record(record)
        return queued

    def refused(self, run: Run) -> list[Effect]:
        """Forget a run whose slot another service has; return the start of the run behind it."""
        entry = self.registry.get(run.job.id)
        if entry is None:
            return NO_EFFECTS
        effects = self.actions.refuse(entry, run)
        self.registry.discard_if_unused(entry)
        return effects

    def run_now(
        self, job: Job, timetable: Timetable, by: str, parent: Run | None, now: datetime
    ) -> tuple[Action, Run | None, list[Effect]]:
        """Decide about a manual run.

        Raises: RuntimeError if the engine was stopped, or stands by.
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

        Raises: RuntimeError if the engine was stopped; StandsBy if another service decides them.
        """
        if self.phase is Phase.STOPPED:
            raise RuntimeError("the service is stopping")
        if self.phase is Phase.STANDBY:
            raise StandsBy

    # -- the clock

    def accept_clock(self, now: datetime) -> list[JobEntry] | None:
        """Note the time; after a step back return the jobs that need another wake-up, else None.

        After a step back, what was decided stays decided, and all other slots are due in their turn.
        """
        if self.phase in {Phase.RUNNING, Phase.STOPPED}:  # the next start takes a pause that ends in a drain for told
            self.pauses.note_time(now)
        if self.phase is not Phase.RUNNING:
            return None
        if not self.progress.note(now):
            return None
        self.checkpoints.require_full()
        self.pauses.clock_set_back(now)
        return self.registry.clock_set_back(now)
