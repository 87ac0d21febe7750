"""Carries out decisions: creates, queues, replaces, skips and cancels the runs of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from jobscheduler.model import Job, LogFields, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.records import CORRECTS, cancelled_record, missed_record, skipped_record
from jobscheduler.timetable.decision import Decision
from jobscheduler.timetable.overlap import Action

Effect = Callable[[], object]  # to be called in order, after the scheduler's lock was released
NO_EFFECTS: list[Effect] = []  # shared, never changed
Claim = Callable[[Run, list[Effect]], object]  # asks for the slot of a run, and performs effects when it is claimed
NewRun = Callable[[Job, datetime | None, LogFields, Run | None], Run]  # job, slot, extra fields, parent run


def perform_effects(effects: Iterable[Effect]) -> None:
    """Perform effects in order. Lock: not the scheduler's."""
    for effect in effects:
        effect()


class RunActions:
    """Changes the runs of an entry, and returns the effects of that.

    `activity` is a number that grows with each decision, manual run and record.
    Lock: the caller's.
    """

    def __init__(
        self,
        new_run: NewRun,
        submit: Callable[[Run], object],
        accounting: Accounting,
        clock: Callable[[], datetime],
        claim: Claim | None = None,
    ) -> None:
        """`submit` dispatches a run; `claim` asks for its slot first, and performs effects when it is claimed."""
        self.activity = 0
        self._new_run = new_run
        self._submit = submit
        self._accounting = accounting
        self._clock = clock
        self._claim = claim

    def record(self, record: Record) -> None:
        """Write the record of a run."""
        self._accounting.record(record)
        self.activity += 1

    def apply(self, entry: JobEntry, decision: Decision, now: datetime) -> list[Effect]:
        """Write the records of missed slots, and perform the action of each other slot."""
        self.activity += 1
        for missed in decision.missed:
            self._accounting.record(missed_record(entry.job.id, missed, now))
        effects: list[Effect] = []
        for slot, action in decision.actions:
            extra = CORRECTS if slot in decision.corrects else ()
            effects += self.perform(entry, entry.job, slot, action, extra)[1]
        return effects

    def perform(
        self,
        entry: JobEntry,
        job: Job,
        slot: datetime | None,
        action: Action,
        extra: LogFields = (),
        parent: Run | None = None,
    ) -> tuple[Run | None, list[Effect]]:
        """Perform the action of one slot, or of a manual run (no slot); return the run, if any, and the effects."""
        if action in {Action.SKIP, Action.PAUSE}:
            reason = "paused" if action is Action.PAUSE else "overlap"
            self._accounting.record(skipped_record(job.id, slot, reason, self._clock(), extra))
            return None, []
        run = self._new_run(job, slot, extra, parent)
        if action is Action.RUN:
            entry.active_runs.append(run)
            return run, self._once_claimed(run, [partial(self._submit, run)])
        stops = self._replace(entry) if action is Action.REPLACE else []
        displaced, entry.queued_run = entry.queued_run, run
        if action is Action.QUEUE and slot is not None:
            self._accounting.pending(job.id, slot, self._clock(), extra=extra)
        effects = self._once_claimed(run, stops)
        return run, effects if displaced is None else [*effects, partial(displaced.stop, "replaced")]

    def _replace(self, entry: JobEntry) -> list[Effect]:
        """Return the effects that end the runs at work, also those of other services."""
        stops: list[Effect] = [partial(old.stop, "replaced") for old in entry.active_runs]
        claims = self._accounting.claims
        if claims is not None:
            stops += [partial(claims.stop, entry.job.id, run_id, "replaced") for run_id in entry.runs_elsewhere]
        return stops

    def _once_claimed(self, run: Run, effects: list[Effect]) -> list[Effect]:
        """Return the effects of a new run; where it needs leave, keep them back until its slot is claimed.

        The claim is asked for under the lock, so that it comes before any checkpoint that counts the slot as decided.
        """
        if self._claim is None:
            return effects
        self._claim(run, effects)
        return NO_EFFECTS

    def refuse(self, entry: JobEntry, run: Run) -> list[Effect]:
        """Forget a run whose slot another service has, without a record; return the start of the run behind it."""
        if not run.cancel():
            return NO_EFFECTS
        if run is entry.queued_run:
            entry.queued_run = None
            return NO_EFFECTS
        unblocked = entry.run_ended(run.run_id)
        return NO_EFFECTS if unblocked is None else [partial(self._submit, unblocked)]

    def perform_manual(
        self, entry: JobEntry, job: Job, action: Action, by: str, parent: Run | None
    ) -> tuple[Run | None, list[Effect]]:
        """Perform the action of a manual run, and account for the request."""
        self.activity += 1
        extra: LogFields = (("trigger", "manual" if parent is None else f"run:{parent.run_id}"), ("by", by))
        run, effects = self.perform(entry, job, None, action, extra, parent)
        if run is not None:
            self._accounting.requested(run, self._clock())
        return run, effects

    def miss_queued(self, entry: JobEntry, reason: str, now: datetime) -> None:
        """Cancel the queued run and write its record."""
        run, entry.queued_run = entry.queued_run, None
        if run is not None and run.cancel():
            self._accounting.record(cancelled_record(run, reason, now))

    def skip_pending(self, entry: JobEntry) -> list[Effect]:
        """Skip the pending slots of a paused job; a manual run stays queued, or begins now."""
        if entry.queued_run is not None and self._skip(entry.queued_run):
            entry.queued_run = None
        unblocked = [entry.run_ended(run.run_id) for run in entry.active_runs if self._skip(run)]
        return [partial(self._submit, run) for run in unblocked if run is not None]

    def _skip(self, run: Run) -> bool:
        """Skip a slot because its job is paused; return False if it has begun, or is a manual run."""
        if run.scheduled is None or not run.cancel():
            return False
        self._accounting.record(skipped_record(run.job.id, run.scheduled, "paused", self._clock(), run.extra))
        return True
