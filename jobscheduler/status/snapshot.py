"""How everything stands at one moment, as values, and their JSON. What shows it (tables, a page, metrics) only reads.

A snapshot is made when somebody asks, and is nobody's to change: several ways to show it cannot disagree.
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

MAX_ALERTS = 100
"""How many jobs with waiting alerts are named."""


MOST_LEFT_PIPES = 100
"""How many jobs with output pipes that are still open are named, those with the most first."""


class NotFound(LookupError):
    """There is no such job or run; the problem says so, and which may have been meant."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Conflict(Exception):
    """What was asked for cannot be done now; the problem says why, and the way out."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class JobState(StrEnum):
    """How a job stands, in one word; of several that are true the first of these."""

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
    """A run that has no record yet. `waits` is what for: a `worker`, a `retry`, its `turn`; None while it is at work.

    `scheduled` is None for a run by hand, `started` until its first attempt begins; `attempt` counts from 1.
    """

    run_id: str
    scheduled: datetime | None
    started: datetime | None
    attempt: int
    waiting_for: str | None = None


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """How a definition stands with the scheduler: its next slot, and the runs that have no record yet."""

    job: Job
    next: datetime | None
    active_runs: tuple[ActiveRun, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """The clock was set back and is `by` behind `until`: so long do so many `jobs` wait, whose slots are all over."""

    by: timedelta
    until: datetime
    jobs: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job, or (`job` None) a file that is refused; then `id` is the one that it claims, if that can be told.

    `next` is the next slot, `last` the last record. A stale job is in force as it was before its file became bad;
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
    """The service itself. Durations are seconds; `ticked` is how long ago the scheduling loop went round.

    `running` are runs at work, `queued` those that wait for a worker. `late` names a part that is not on time,
    `trouble` are the present troubles in words (a directory that is lost, a log that cannot be written). `jobs_dir` and
    `database` say where jobs are, each of them empty if there is none. `alerts` are the jobs of which an alert waits.
    `left_pipes` says of each job how many output pipes the service keeps open, because processes that ended runs have
    left still hold them.
    `notes` is what a user should know though nothing is wrong.
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
    issue: tuple[str, ...] = ()
    database: str = ""
    alerts: tuple[str, ...] = ()
    left_pipes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How everything stands at `at`. Jobs come in the order of their ids, refused files after them."""

    at: datetime
    service: ServiceStatus
    jobs: tuple[JobStatus, ...]

    def count(self) -> Mapping[JobState, int]:
        """How many jobs are in each state; every state is there."""
        found = Counter(one.state for one in self.jobs)
        return {state: found[state] for state in JobState}

    def find(self, job_id: str) -> JobStatus | None:
        """The job of this id that is in force, or else a refused file that claims it."""
        return next((one for one in self.jobs if one.id == job_id), None)


@dataclass(frozen=True, slots=True)
class Detail:
    """What is shown of one job that is in force, beside how it stands.

    `definition` is as in a job file, with secrets blotted out; `sentence` says its schedule in words. `upcoming` are
    its next slots, in UTC.
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
    """The word for a job that is in force (or has expired); one without any further slot is done."""
    if active_runs:
        return JobState.RUNNING if any(one.waiting_for is None for one in active_runs) else JobState.WAITING
    words = (
        (paused, JobState.PAUSED),
        (not enabled, JobState.DISABLED),
        (stale, JobState.STALE),
        (expired, JobState.EXPIRED),
    )
    return next((word for is_so, word in words if is_so), JobState.SCHEDULED if upcoming else JobState.DONE)


# --- as JSON ---------------------------------------------------------------------------------------------


def job_json(one: JobStatus) -> dict[str, Any]:
    """One job as the verbs and the socket give it; instants are UTC."""
    return {
        "job_id": one.id,
        "state": one.state.value,
        "file": one.file,
        "schedule": schedule_text(one.job),
        "timezone": one.job.schedule.timezone if one.job and isinstance(one.job.schedule, Cron) else None,
        "description": one.job.description if one.job else "",
        "next": instant(one.next),
        "stale": one.stale,
        "paused": one.paused,
        "last": record_json(one.last) if one.last else None,
        "going": [active_run_json(run) for run in one.active_runs],
        "problems": [problem_json(problem) for problem in one.problems],
    }


def service_json(snapshot: Snapshot) -> dict[str, Any]:
    """The service itself as JSON, with how many jobs are in each state."""
    service = snapshot.service
    upcoming = min((one.next for one in snapshot.jobs if one.next), default=None)
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
        "last_tick": round(service.last_tick_age, 3),
        "late": service.overdue,
        "trouble": list(service.issue),
        "notes": list(service.notes),
        "alerts": list(service.alerts[:MAX_ALERTS]),
        "alerts_waiting": len(service.alerts),
        "left_pipes": dict(service.left_pipes[:MOST_LEFT_PIPES]),
        "left_pipes_open": sum(count for _, count in service.left_pipes),
        "problems": [
            {"state": "stale" if one.stale else one.state.value, **problem_json(problem)}
            for one in snapshot.jobs
            for problem in one.problems
        ],
    }


def detail_json(
    one: JobStatus,
    detail: Detail | None,
    starts: Iterable[tuple[datetime, datetime]],
    ahead: Iterable[tuple[datetime, datetime]] = (),
) -> dict[str, Any]:
    """One job with all that is known of it; `starts` are its next slots, each with its start.

    `ahead` are stretches of time to come whose slots were decided before the clock was set back.
    """
    return {
        **job_json(one),
        "definition": detail.definition if detail else None,
        "sentence": detail.sentence if detail else None,
        "upcoming": [{"scheduled": instant(slot), "start": instant(start)} for slot, start in starts],
        "decided": [{"first": instant(first), "last": instant(last)} for first, last in ahead],
    }


def active_run_json(run: ActiveRun) -> dict[str, Any]:
    """A run that goes on as JSON."""
    return {
        "run_id": run.run_id,
        "scheduled": instant(run.scheduled),
        "started": instant(run.started),
        "attempt": run.attempt,
        "waits": run.waiting_for,
    }


def record_json(record: Record) -> dict[str, Any]:
    """A record as JSON, with the keys that it has in the log."""
    pairs = {key: instant(value) if isinstance(value, datetime) else value for key, value in record.fields()}
    return {"time": instant(record.at), "status": record.status.value, **pairs}


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as JSON; the offending line itself stays in the file, it may hold a secret."""
    return {
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "notes": list(problem.notes),
        "help": problem.help,
    }


def definition_json(job: Job) -> dict[str, Any]:
    """A job as in a job file, with its defaults spelled out where they are not nothing."""
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
    """A task as in a job file; None for `null`, which stands for no alert whatever the service's own are."""
    return None if task == NO_TASK else {"type": task.type, **task.params}


def schedule_text(job: Job | None) -> str | None:
    """The schedule as its author wrote it."""
    if job is None:
        return None
    return job.schedule.expression if isinstance(job.schedule, Cron) else job.schedule.text or instant(job.schedule.at)


def instant(at: datetime | None) -> str | None:
    """An instant as text in UTC, with milliseconds where there are some."""
    if at is None:
        return None
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def as_line(value: Mapping[str, Any]) -> str:
    """A JSON object on one line."""
    return json.dumps(value, ensure_ascii=True)
