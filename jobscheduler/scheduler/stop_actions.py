"""Stops runs at a person's request: those that have begun fail, those that have not are skipped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from jobscheduler.model import Event, InFlightRun, Level, LogFields
from jobscheduler.runner import STOPPED, Run
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.records import stopped_record
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import Effect

StopTargets = Mapping[str, Collection[str] | None]  # the runs to stop of each job, by their ids; None for all of it


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run that is stopped. One that had not begun is skipped and has its record; the others get theirs at their end.

    `run` is None if the run is at work on another service. `pid` and `attempt` are those of the run at work when it was
    asked to end.
    """

    job_id: str
    run_id: str
    scheduled: datetime | None
    started: datetime | None
    run: Run | None
    is_skipped: bool
    pid: int | None = None
    attempt: int = 1

    @classmethod
    def of(cls, run: Run, *, is_skipped: bool) -> StoppedRun:
        """Return a run of this service."""
        pid, attempt = (None, 1) if is_skipped else (run.pid, run.attempts)
        return cls(run.job.id, run.run_id, run.scheduled, run.started_at, run, is_skipped, pid, attempt)

    @classmethod
    def elsewhere(cls, run: InFlightRun) -> StoppedRun:
        """Return a run of another service."""
        return cls(run.job_id, run.run_id, run.scheduled, run.started, None, is_skipped=False)


class StopActions:
    """Stops the runs of entries, and returns the effects of that.

    Lock: the caller's.
    """

    def __init__(
        self,
        registry: JobRegistry,
        submit: Callable[[Run], object],
        accounting: Accounting,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._submit = submit
        self._accounting = accounting
        self._clock = clock

    def stop(self, targets: StopTargets, by: str, *, may_skip: bool) -> tuple[list[StoppedRun], list[Effect]]:
        """Stop runs. Without `may_skip` leave those that have not begun to the next start, which decides about them."""
        stopped: list[StoppedRun] = []
        effects: list[Effect] = []
        for job_id, run_ids in targets.items():
            entry = self._registry.get(job_id)
            if entry is not None:
                of_job, effects_of_job = self._stop_runs(entry, run_ids, by, may_skip=may_skip)
                stopped += of_job
                effects += effects_of_job
        return stopped, effects

    def _stop_runs(
        self, entry: JobEntry, run_ids: Collection[str] | None, by: str, *, may_skip: bool
    ) -> tuple[list[StoppedRun], list[Effect]]:
        """Stop runs of a job. The queued one comes first, so that it does not begin when another one ends."""
        queued = [] if entry.queued_run is None else [entry.queued_run]
        wanted = [run for run in (*queued, *entry.active_runs) if run_ids is None or run.run_id in run_ids]
        stopped: list[StoppedRun] = []
        effects: list[Effect] = []
        for run in wanted:
            if run.is_cancelled or run.record is not None:  # the service stops, or the run ends at this moment
                continue
            if not run.attempts and may_skip and run.cancel():
                stopped.append(StoppedRun.of(run, is_skipped=True))
                effects += self._skip(entry, run, by)
            elif run.attempts:  # it may have begun just now
                stopped.append(StoppedRun.of(run, is_skipped=False))
                self._log_request(stopped[-1], by)
                effects.append(partial(run.stop, STOPPED, by))
        if may_skip:
            of_others, asks = self._stop_elsewhere(entry, run_ids, by)
            stopped, effects = stopped + of_others, effects + asks
        self._registry.discard_if_unused(entry)
        return stopped, effects

    def _stop_elsewhere(
        self, entry: JobEntry, run_ids: Collection[str] | None, by: str
    ) -> tuple[list[StoppedRun], list[Effect]]:
        """Ask the services that have runs of a job at work to end them, which they do with their next beat."""
        claims = self._accounting.claims
        if claims is None:
            return [], []
        wanted = [run for run in entry.runs_elsewhere.values() if run_ids is None or run.run_id in run_ids]
        stopped = [StoppedRun.elsewhere(run) for run in wanted]
        for one in stopped:
            self._log_request(one, by)
        return stopped, [partial(claims.stop, run.job_id, run.run_id, STOPPED, by) for run in wanted]

    def _skip(self, entry: JobEntry, run: Run, by: str) -> list[Effect]:
        """Write the record of a run that was cancelled. Return the start of the run behind it, if there is one."""
        self._accounting.record(stopped_record(run, by, self._clock()))
        if run is entry.queued_run:
            entry.queued_run = None
            return []
        unblocked = entry.run_ended(run.run_id)
        return [] if unblocked is None else [partial(self._submit, unblocked)]

    def _log_request(self, run: StoppedRun, by: str) -> None:
        slot: LogFields = () if run.scheduled is None else (("scheduled", run.scheduled),)
        values: LogFields = (("job_id", run.job_id), ("run_id", run.run_id), *slot, ("by", by))
        self._accounting.note(Event(self._clock(), Level.INFO, "run.stop_requested", values))
