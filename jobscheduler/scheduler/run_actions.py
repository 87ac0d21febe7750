"""Carries out decisions: creates, queues, replaces, skips and cancels the runs of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from jobscheduler.model import Event, Job, Level, LogEntry, LogFields, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.records import CORRECTS, cancelled_record, missed_record, pending_event, skipped_record
from jobscheduler.timetable.decision import Decision
from jobscheduler.timetable.overlap import Action

Effect = Callable[[], object]  # to be called in order, after the scheduler's lock was released
NO_EFFECTS: list[Effect] = []  # shared, never changed
NewRun = Callable[[Job, datetime | None, LogFields, Run | None], Run]  # job, slot, extra fields, parent run


def perform_effects(effects: Iterable[Effect]) -> None:
    """Perform effects in order. Lock: not the scheduler's."""
    for effect in effects:
        effect()


class RunActions:
    """Changes the runs of an entry, and returns the effects of that.

    `activity` is a number that grows with each decision, manual run and record.
    Lock: the caller's. `write` must not wait.
    """

    def __init__(
        self,
        new_run: NewRun,
        submit: Callable[[Run], object],
        write: Callable[[LogEntry], object],
        clock: Callable[[], datetime],
    ) -> None:
        self.activity = 0
        self._new_run = new_run
        self._submit = submit
        self._write = write
        self._clock = clock

    def record(self, record: Record) -> None:
        """Write the record of a run."""
        self._write(record)
        self.activity += 1

    def apply(self, entry: JobEntry, decision: Decision, now: datetime) -> list[Effect]:
        """Write the records of missed slots, and perform the action of each other slot."""
        self.activity += 1
        for missed in decision.missed:
            self._write(missed_record(entry.job.id, missed, now))
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
            self._write(skipped_record(job.id, slot, reason, self._clock(), extra))
            return None, []
        run = self._new_run(job, slot, extra, parent)
        if action is Action.RUN:
            entry.active_runs.append(run)
            return run, [partial(self._submit, run)]
        replaced = [*entry.active_runs, entry.queued_run] if action is Action.REPLACE else []
        entry.queued_run = run
        if action is Action.QUEUE and slot is not None:
            self._write(pending_event(job.id, slot, self._clock(), extra=extra))
        return run, [partial(old.stop, "replaced") for old in replaced if old is not None]

    def perform_manual(
        self, entry: JobEntry, job: Job, action: Action, by: str, parent: Run | None
    ) -> tuple[Run | None, list[Effect]]:
        """Perform the action of a manual run, and log that it was requested.

        It is logged at once, because it may be queued when the service crashes.
        """
        self.activity += 1
        extra: LogFields = (("trigger", "manual" if parent is None else f"run:{parent.run_id}"), ("by", by))
        run, effects = self.perform(entry, job, None, action, extra, parent)
        if run is not None:
            values = (("job_id", job.id), ("run_id", run.run_id), *extra)
            self._write(Event(self._clock(), Level.INFO, "run.requested", values))
        return run, effects

    def miss_queued(self, entry: JobEntry, reason: str, now: datetime) -> None:
        """Cancel the queued run and write its record."""
        run, entry.queued_run = entry.queued_run, None
        if run is not None and run.cancel():
            self._write(cancelled_record(run, reason, now))

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
        self._write(skipped_record(run.job.id, run.scheduled, "paused", self._clock(), run.extra))
        return True
