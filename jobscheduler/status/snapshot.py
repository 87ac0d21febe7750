"""The state of the service and its jobs at one moment, as values, and their JSON. Tables, pages, metrics only read it.

A snapshot is built on request and never changes, so two ways to show it cannot disagree.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from jobscheduler.model import NO_TASK, Cron, Job, Problem, Record, TaskSpec
from jobscheduler.model.errors import ProblemError

MAX_ALERTS = 100  # jobs with waiting alerts that are named


MOST_LEFT_PIPES = 100  # jobs with open output pipes that are named, those with the most first


class NotFound(ProblemError):
    """There is no such job or run; the problem says so, and suggests a similar name."""


class Conflict(ProblemError):
    """The request cannot be met now; the problem says why, and what helps."""


class JobState(StrEnum):
    """The state of a job; if several apply, the first of these."""

    REFUSED = "refused"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    DISABLED = "disabled"
    STALE = "stale"
    EXPIRED = "expired"
    SCHEDULED = "scheduled"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that has no record yet. `waiting_for` is a `worker`, a `retry` or its `turn`; None while it is at work.

    `scheduled` is None for a manual run, `started` is None before its first attempt; `attempt` counts from 1.
    """

    run_id: str
    scheduled: datetime | None
    started: datetime | None
    attempt: int
    waiting_for: str | None = None


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """The state of a definition in the scheduler: its next slot, and the runs that have no record yet."""

    job: Job
    next: datetime | None
    active_runs: tuple[ActiveRun, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """The clock was set back: it is `by` behind `until`, the instant up to which slots are decided.

    For so long `jobs` jobs wait, all slots of which are decided.
    """

    by: timedelta
    until: datetime
    jobs: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of one job, or of a refused file: then `job` is None, and `id` the one that it claims, if known.

    `next` is the next slot, `last` the last record. A stale job stays active as it was before its file became bad;
    `problems` say what is wrong with the file.
    """

    id: str | None
    state: JobState
    file: str
    job: Job | None = None
    next: datetime | None = None
    active_runs: tuple[ActiveRun, ...] = ()
    last: Record | None = None
    paused: bool = False
    stale: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of the service itself. Durations are seconds; `last_tick_age` is the age of the loop's last round.

    `running` are runs at work, `queued` those that wait for a worker. `overdue` names a part that is not on time.
    `issues` are the present issues as text, such as a lost directory or a log that cannot be written.
    `jobs_dir` and `database` say where jobs come from; each is empty if unused.
    `alerts` are the jobs with a waiting alert.
    `left_pipes` is the number of output pipes that the service keeps open for each job, because processes that ended
    runs left behind still hold them.
    `notes` are remarks that a user should know though nothing is wrong.
    `new_rules` are the zones whose rules have changed on disk and wait for a reload.
    """

    version: str
    pid: int
    started: datetime
    timezone: str
    jobs_dir: str
    log_file: str
    workers: int
    running: int
    queued: int
    lost_threads: int
    last_tick_age: float
    overdue: str | None = None
    issues: tuple[str, ...] = ()
    database: str = ""
    alerts: tuple[str, ...] = ()
    new_rules: tuple[str, ...] = ()
    left_pipes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of everything at `at`. Jobs come in the order of their ids, refused files after them."""

    at: datetime
    service: ServiceStatus
    jobs: tuple[JobStatus, ...]

    def count(self) -> Mapping[JobState, int]:
        """Return how many jobs are in each state; every state is a key."""
        counts = Counter(job.state for job in self.jobs)
        return {state: counts[state] for state in JobState}

    def find(self, job_id: str) -> JobStatus | None:
        """Return the active job of this id, or else a refused file that claims it."""
        return next((job for job in self.jobs if job.id == job_id), None)


@dataclass(frozen=True, slots=True)
class Detail:
    """Details of one active job, beside its status.

    `definition` is as in a job file, with secrets redacted; `sentence` is the schedule in words. `upcoming` are its
    next slots, in UTC.
    """

    definition: Mapping[str, Any]
    sentence: str
    timezone: str
    upcoming: tuple[datetime, ...] = ()


def job_state(
    *,
    enabled: bool,
    active_runs: tuple[ActiveRun, ...],
    paused: bool,
    stale: bool,
    expired: bool,
    upcoming: bool,
) -> JobState:
    """Return the state of a job that is active or has expired; a job without a further slot is done."""
    if active_runs:
        return JobState.RUNNING if any(run.waiting_for is None for run in active_runs) else JobState.WAITING
    states = (
        (paused, JobState.PAUSED),
        (not enabled, JobState.DISABLED),
        (stale, JobState.STALE),
        (expired, JobState.EXPIRED),
    )
    return next((state for applies, state in states if applies), JobState.SCHEDULED if upcoming else JobState.DONE)


# --- as JSON ---------------------------------------------------------------------------------------------


def job_json(status: JobStatus) -> dict[str, Any]:
    """Return one job as the verbs and the socket show it; instants are UTC."""
    return {
        "job_id": status.id,
        "state": status.state.value,
        "file": status.file,
        "schedule": schedule_text(status.job),
        "timezone": status.job.schedule.timezone if status.job and isinstance(status.job.schedule, Cron) else None,
        "description": status.job.description if status.job else "",
        "next": instant(status.next),
        "stale": status.stale,
        "paused": status.paused,
        "last": record_json(status.last) if status.last else None,
        "active_runs": [active_run_json(run) for run in status.active_runs],
        "problems": [problem_json(problem) for problem in status.problems],
    }


def service_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the service itself as JSON, with the number of jobs in each state."""
    service = snapshot.service
    upcoming = min((job.next for job in snapshot.jobs if job.next), default=None)
    return {
        "version": service.version,
        "pid": service.pid,
        "now": instant(snapshot.at),
        "started": instant(service.started),
        "timezone": service.timezone,
        "jobs_dir": service.jobs_dir,
        "database": service.database,
        "log_file": service.log_file,
        "jobs": {state.value: count for state, count in snapshot.count().items()},
        "next": instant(upcoming),
        "running": service.running,
        "queued": service.queued,
        "workers": service.workers,
        "lost_threads": service.lost_threads,
        "last_tick_age": round(service.last_tick_age, 3),
        "late_part": service.overdue,
        "issues": list(service.issues),
        "notes": list(service.notes),
        "new_rules": list(service.new_rules),
        "pending_alerts": list(service.alerts[:MAX_ALERTS]),
        "pending_alert_count": len(service.alerts),
        "open_pipes": dict(service.left_pipes[:MOST_LEFT_PIPES]),
        "open_pipe_count": sum(count for _, count in service.left_pipes),
        "problems": [
            {"state": "stale" if job.stale else job.state.value, **problem_json(problem)}
            for job in snapshot.jobs
            for problem in job.problems
        ],
    }


def detail_json(
    one: JobStatus,
    detail: Detail | None,
    starts: Iterable[tuple[datetime, datetime]],
    ahead: Iterable[tuple[datetime, datetime]] = (),
) -> dict[str, Any]:
    """Return one job with all details as JSON; `starts` are its next slots, each with its start.

    `ahead` are future periods whose slots were decided before the clock was set back.
    """
    return {
        **job_json(one),
        "definition": detail.definition if detail else None,
        "sentence": detail.sentence if detail else None,
        "upcoming": [{"scheduled": instant(slot), "start": instant(start)} for slot, start in starts],
        "decided_ahead": [{"first": instant(first), "last": instant(last)} for first, last in ahead],
    }


def active_run_json(run: ActiveRun) -> dict[str, Any]:
    """Return an active run as JSON."""
    return {
        "run_id": run.run_id,
        "scheduled": instant(run.scheduled),
        "started": instant(run.started),
        "attempt": run.attempt,
        "waiting_for": run.waiting_for,
    }


def record_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON, with the same keys as in the log."""
    pairs = {key: instant(value) if isinstance(value, datetime) else value for key, value in record.fields()}
    return {"time": instant(record.at), "status": record.status.value, **pairs}


def problem_json(problem: Problem) -> dict[str, Any]:
    """Return a problem as JSON, without the offending line, which may hold a secret."""
    return {
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "notes": list(problem.notes),
        "help": problem.help,
    }


def definition_json(job: Job) -> dict[str, Any]:
    """Return a job as in a job file, with defaults written out unless they are null."""
    fields: dict[str, Any] = {
        "job_id": job.id,
        "description": job.description,
        "schedule": schedule_text(job),
        "timezone": job.schedule.timezone if isinstance(job.schedule, Cron) else None,
        "enabled": job.enabled,
        "timeout": job.timeout,
        "overlap": job.overlap,
        "retry": job.retry and asdict(job.retry),
        "catch_up": job.catch_up,
        "jitter": job.jitter,
        "not_before": instant(job.not_before),
        "not_after": instant(job.not_after),
        "task": task_json(job.task),
        "on_failure": job.on_failure and task_json(job.on_failure),
        "on_recovery": job.on_recovery and task_json(job.on_recovery),
    }
    return {key: value for key, value in fields.items() if value is not None}


def task_json(task: TaskSpec) -> dict[str, Any] | None:
    """Return a task as in a job file; None for `null`, which means no alert even if the service has its own."""
    return None if task == NO_TASK else {"type": task.type, **task.params}


def schedule_text(job: Job | None) -> str | None:
    """Return the schedule as its author wrote it."""
    if job is None:
        return None
    return job.schedule.expression if isinstance(job.schedule, Cron) else job.schedule.text or instant(job.schedule.at)


def instant(at: datetime | None) -> str | None:
    """Format an instant in UTC, with milliseconds if it has any."""
    if at is None:
        return None
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def as_line(value: Mapping[str, Any]) -> str:
    """Format a JSON object on one line."""
    return json.dumps(value, ensure_ascii=True)
