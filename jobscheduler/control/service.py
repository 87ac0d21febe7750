"""What the control socket offers: show the service and its jobs; run, stop, pause and resume jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from typing import Any

from jobscheduler.control.definitions import definitions_answer
from jobscheduler.control.job_query import EVERY_JOB, JobQuery
from jobscheduler.control.names import names_answer
from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.control.pause_requests import PauseRequests
from jobscheduler.control.requested_runs import RequestedRuns
from jobscheduler.control.shared_history import history_answer
from jobscheduler.control.snapshot_builder import MAX_SHOWN_SLOTS, JobHolder, SnapshotBuilder
from jobscheduler.control.stop_requests import StopRequests, parse_targets
from jobscheduler.jobs.preview import related_items
from jobscheduler.model import Cron, Job, Problem, Record, StoredAttempt
from jobscheduler.model.selection import Selector
from jobscheduler.output import RunPlace
from jobscheduler.output.names import day_of
from jobscheduler.runner import Run, describe_unkillable, tail
from jobscheduler.scheduler import ChainTooLong, Scheduler, StandsBy
from jobscheduler.status.selection import ALL_JOBS_HELP, no_job_problem
from jobscheduler.status.shown_status import shown_status
from jobscheduler.status.situation import count_statuses, situation_json
from jobscheduler.status.snapshot import Conflict, JobState, JobStatus, NotFound, Snapshot
from jobscheduler.status.snapshot_json import (
    detail_json,
    instant,
    job_json,
    problem_json,
    record_json,
    service_json,
    timetable_json,
)
from jobscheduler.timetable.overlap import Action, Overlap
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.instants import format_with_zone
from jobscheduler.util.text import plural

_POLL_S = 0.02  # seconds between two checks whether a run has ended


class ControlService:
    """Answer the requests of the control socket.

    Thread: any.
    """

    def __init__(
        self,
        snapshots: SnapshotBuilder,
        scheduler: Scheduler,
        holder: JobHolder,
        requested: RequestedRuns,
        outputs: StoredOutputs,
        flush: Callable[[float], bool] = lambda _: True,
        last_record: Callable[[str], Record | None] = lambda _: None,
    ) -> None:
        """`flush` waits until the log is written, at most so many seconds, and returns whether it is.

        `last_record` returns the last record of a job.
        """
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._reconciler = holder
        self._requested = requested
        self._outputs = outputs
        self._stops = StopRequests(
            scheduler, self._tags, last_record, lambda job_id: _unknown(job_id, self._snapshots.build())
        )
        self._pauses = PauseRequests(
            scheduler.pauses, self._tags, flush, lambda job_id: _unknown(job_id, self._snapshots.build())
        )

    def status(self) -> Mapping[str, Any]:
        """Return the service's own state."""
        snapshot = self._snapshots.build()
        return {**service_json(snapshot), **situation_json(snapshot)}

    def jobs(self, query: JobQuery = EVERY_JOB) -> Mapping[str, Any]:
        """Return the jobs and refused files that a query wants, and which of its selectors select none."""
        snapshot = self._snapshots.build(query.ids)
        found = [job for job in snapshot.jobs if query.wants(job)]
        unmatched = query.unmatched(snapshot.jobs)
        known = self._known_tags() if unmatched else {}
        return {
            "now": instant(snapshot.at),
            **(_timetables(found) if query.only_timetables else _list(found)),
            "unmatched": [problem_json(no_job_problem(selector, known)) for selector in unmatched],
        }

    def _known_tags(self) -> Mapping[str, Collection[str]]:
        """Return the tags of every job by its id, and the names of refused files."""
        jobs = self._snapshots.build().jobs
        return {job.id or job.file: job.job.tags if job.job else () for job in jobs}

    def definitions(self, names: Collection[str] = (), job_ids: Collection[str] = ()) -> Mapping[str, Any]:
        """Return the definitions in force, with digests instead of what their tasks say, and their next slots.

        With names or ids only those that may change when the files of these names define the jobs of these ids.

        Raises:
            Conflict: the service is reading its files.

        """
        try:
            items = self._reconciler.items()
        except TimeoutError:
            raise Conflict(Problem("the service is reading job files", help="ask again in a moment")) from None
        if names or job_ids:
            items = related_items(items, names, job_ids)
        ids = {job.id for _, job, _ in items if job is not None}
        return definitions_answer(items, {job_id: self._scheduler.next_slot(job_id) for job_id in ids})

    def names(self, begin: str) -> Mapping[str, Any]:
        """Return what a user may be about to type: the jobs whose ids begin so, all tags, and the runs at work."""
        attempts = self._scheduler.runs.running_attempts()
        return names_answer(self._reconciler.active_state()[0], [attempt.run for attempt in attempts], begin)

    def job(self, job_id: str) -> Mapping[str, Any]:
        """Return one job, with its definition and its next slots.

        Raises:
            NotFound: no job has this id.

        """
        snapshot = self._snapshots.build()
        job = snapshot.find(job_id)
        if job is None:
            raise _unknown(job_id, snapshot)
        upcoming = self._scheduler.upcoming(job_id, MAX_SHOWN_SLOTS)
        decided_ahead = self._scheduler.decided_ahead(job_id)[:MAX_SHOWN_SLOTS]
        return detail_json(job, self._snapshots.job_detail(job_id), upcoming, decided_ahead)

    def records(self, query: str) -> Mapping[str, Any]:
        """Return nothing: the log has the records of a service that is alone.

        Raises:
            NotFound: always.

        """
        return history_answer(query, None)

    # -- commands

    def run(self, job_id: str, by: str, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """Start a manual run of a job. `within` are the runs that the request comes from, the innermost first.

        Raises:
            NotFound: no job has this id.
            Conflict: the run is refused, the service is stopping, or the job would start itself through others.
            StandsBy: another service leads.

        """
        job = self._active_job(job_id)
        try:
            act, run = self._scheduler.run_now(job, by, within)
        except ChainTooLong as chain:
            raise Conflict(Problem(str(chain), help=chain.help)) from None
        except StandsBy:
            raise
        except RuntimeError as error:
            raise Conflict(Problem(str(error))) from None
        if run is not None:
            self._requested.add(run)
        return {
            "job_id": job_id,
            "action": act.value,
            "run_id": run.run_id if run else None,
            "note": _describe_action(act),
            "next_note": self._next_note(job_id) if run else None,
        }

    def stop(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Stop runs (see `StopRequests.stop`). Their results can be asked for as those of manual runs."""
        stopped, answer = self._stops.stop(parse_targets(request), by)
        for one in stopped:
            if one.run is not None:
                self._requested.add(one.run)
        return answer

    def _next_note(self, job_id: str) -> str | None:
        """Return a note on how this run and the job's next slot would affect each other, if they overlap."""
        runtime = next(iter(self._scheduler.runtimes([job_id])), None)
        if runtime is None or runtime.next is None or runtime.pauses:
            return None
        schedule = runtime.job.schedule
        zone = get_zone(schedule.timezone) if isinstance(schedule, Cron) else UTC
        slot = f"the next slot, {format_with_zone(runtime.next, zone)},"
        match Overlap(runtime.job.overlap):
            case Overlap.SKIP:
                return f"{slot} is skipped if this run has not ended by then"
            case Overlap.QUEUE:
                return f"{slot} waits until this run has ended"
            case Overlap.REPLACE:
                return f"{slot} ends this run if it has not ended by then"
        return None

    def run_result(self, run_id: str, wait: float) -> Mapping[str, Any]:
        """Return how a run ended that was requested here or is active. Wait for its end up to `wait` seconds.

        `record` is null until then. `output` is that of its last attempt that has ended.

        Raises:
            NotFound: there is no such run.

        """
        run = self._requested.find(run_id)
        if run is None:
            raise NotFound(
                Problem(f"no run `{run_id}` was requested recently", help="`jobscheduler history` has its record")
            )
        deadline = time.monotonic() + wait
        while run.record is None and not run.is_cancelled and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        record, text = run.record, self._last_output(run)
        return {
            "run_id": run_id,
            "record": record_json(record) if record else None,
            "cancelled": run.is_cancelled,
            "left": describe_unkillable(run.unkillable),
            "output": None if text is None else tail(text, len(text)),
        }

    def _last_output(self, run: Run) -> bytes | None:
        """Return what was kept of the last attempt that has ended; None if that is nothing, or cannot be read now."""
        attempts: list[StoredAttempt] = self._outputs.recent(run.run_id)
        if not attempts and run.started_at is not None:
            with suppress(OSError, CallHung):
                attempts = self._outputs.attempts(RunPlace(run.job.id, run.run_id, day_of(run.started_at)))
        return attempts[-1].kept.text if attempts else None

    def select(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return which jobs are selected (see `PauseRequests.select`)."""
        return self._pauses.select(request)

    def pause(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Pause jobs (see `PauseRequests.pause`)."""
        return self._pauses.pause(request, by)

    def resume(self, request: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Let paused jobs run again (see `PauseRequests.resume`)."""
        return self._pauses.resume(request, by)

    def _tags(self) -> Mapping[str, Collection[str]]:
        """Return the tags of each job that has a valid definition."""
        return {job_id: job.tags for job_id, job in self._reconciler.active_state()[0].items()}

    def _active_job(self, job_id: str) -> Job:
        job = self._reconciler.job(job_id)
        if job is None:
            raise _unknown(job_id, self._snapshots.build())
        return job


def _list(jobs: Iterable[JobStatus]) -> dict[str, Any]:
    words = [(job, shown_status(job)) for job in jobs]
    return {
        "jobs": [{**job_json(job), "status": word.value} for job, word in words],
        "statuses": count_statuses([word for _, word in words]),
    }


def _timetables(jobs: Iterable[JobStatus]) -> dict[str, Any]:
    return {"jobs": [timetable_json(job) for job in jobs if job.job is not None]}


def _unknown(job_id: str, snapshot: Snapshot) -> NotFound:
    """Return the error for an id without a valid definition; a refused file may be the reason."""
    refused = [job for job in snapshot.jobs if job.state is JobState.REFUSED]
    named = [job for job in refused if job.file in {job_id, f"{job_id}.json", f"jm_jobs/{job_id}"}]
    if named:
        problem = named[0].problems[0] if named[0].problems else Problem("")
        line = f":{problem.line}:{problem.column}" if problem.line else ""
        return NotFound(Problem(f"the file `{named[0].file}` is refused: {problem.message} ({named[0].file}{line})"))
    known = {job.id: job.job.tags for job in snapshot.jobs if job.id and job.job}
    problem = no_job_problem(Selector(job_id), known)
    if refused and problem.help == ALL_JOBS_HELP:
        help_ = f"{problem.help}; {plural(len(refused), 'file is', 'files are')} refused, perhaps one that defines it"
        problem = replace(problem, help=help_)
    return NotFound(problem)


def _describe_action(act: Action) -> str:
    """Return what becomes of a manual run; empty if it begins now."""
    match act:
        case Action.SKIP:
            return "skipped: its last run is still in progress (overlap)"
        case Action.QUEUE:
            return "waits until its last run has ended (overlap=queue)"
        case Action.REPLACE:
            return "replaces its last run, which is being stopped (overlap=replace)"
    return ""
