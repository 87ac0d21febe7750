"""The JSON of a snapshot, as the verbs and the control socket show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jobscheduler.model import EVERY_CHANGE, NO_TASK, SLOT_FIELDS, Cron, Job, Limits, Pause, Problem, Record, TaskSpec
from jobscheduler.status.cluster_json import cluster_json
from jobscheduler.status.snapshot import ActiveRun, Detail, JobStatus, Snapshot
from jobscheduler.util.instants import format_instant

MAX_ALERTS = 100  # jobs with waiting alerts that are named
MAX_LEFT_PIPES = 100  # jobs with open output pipes that are named, those with the most first


def job_json(status: JobStatus) -> dict[str, Any]:
    """Return one job as the verbs and the socket show it; instants are UTC."""
    slot = instant(status.next)
    return {
        "job_id": status.id,
        "state": status.state.value,
        "file": status.file,
        "schedule": schedule_text(status.job),
        "timezone": status.job.schedule.timezone if status.job and isinstance(status.job.schedule, Cron) else None,
        "description": status.job.description if status.job else "",
        "tags": list(status.job.tags) if status.job else [],
        "next": slot,
        "next_start": slot if status.start in {None, status.next} else instant(status.start),
        "stale": status.stale,
        "paused": status.paused,
        "pauses": [pause_json(pause) for pause in status.pauses],
        "overdue": status.overdue_since is not None,
        "overdue_since": instant(status.overdue_since),
        "failures": status.failures,
        "failing_since": instant(status.failing_since),
        "last_success": instant(status.last_success),
        "in_force_since": instant(status.in_force_since),
        "usual": status.usual,
        "last_line": status.last_line,
        "last": record_json(status.last) if status.last else None,
        "active_runs": [active_run_json(run) for run in status.active_runs],
        "problems": [problem_json(problem) for problem in status.problems],
    }


def timetable_json(status: JobStatus) -> dict[str, Any]:
    """Return what decides the starts of a job and how long it takes; what has its default is left out.

    Ten thousand of these are sent at once. Empty for a refused file.
    """
    job = status.job
    if job is None:
        return {}
    fields = {
        "usual": status.usual,
        "jitter": job.jitter or None,
        "not_before": instant(job.not_before),
        "not_after": instant(job.not_after),
        "at": None if isinstance(job.schedule, Cron) else instant(job.schedule.at),
        "timezone": job.schedule.timezone if isinstance(job.schedule, Cron) else None,
        "enabled": None if job.enabled else False,
        "paused_until": [instant(pause.until) for pause in status.pauses] or None,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return {"job_id": job.id, "schedule": schedule_text(job), **given}


def service_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the service itself as JSON, with the number of jobs in each state."""
    service = snapshot.service
    upcoming = min((job.start or job.next for job in snapshot.jobs if job.next), default=None)
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
        "cluster": cluster_json(service.cluster),
        "pauses": [pause_json(pause) for pause in service.pauses],
        "pending_alerts": list(service.alerts[:MAX_ALERTS]),
        "pending_alert_count": len(service.alerts),
        "open_pipes": dict(service.left_pipes[:MAX_LEFT_PIPES]),
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
        "pid": run.pid,
        "node": run.node,
    }


def pause_json(pause: Pause) -> dict[str, Any]:
    """Return a pause as JSON; `jobs` is what it selects, `except` what it no longer covers."""
    return {
        "pause": pause.id,
        "jobs": pause.selector.text,
        "except": [selector.text for selector in pause.exempt],
        "since": instant(pause.since),
        "until": instant(pause.until),
        "reason": pause.reason,
        "by": pause.by,
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
        "tags": list(job.tags),
        "schedule": schedule_text(job),
        "timezone": job.schedule.timezone if isinstance(job.schedule, Cron) else None,
        "enabled": job.enabled,
        "timeout": job.timeout,
        "overlap": job.overlap,
        "retry": job.retry and asdict(job.retry),
        "limits": job.limits and limits_json(job.limits),
        "catch_up": job.catch_up,
        "jitter": job.jitter,
        "not_before": instant(job.not_before),
        "not_after": instant(job.not_after),
        "task": task_json(job.task),
        "on_failure": job.on_failure and task_json(job.on_failure),
        "on_recovery": job.on_recovery and task_json(job.on_recovery),
        "success_within": job.success_within,
        "alert": None if job.alert == EVERY_CHANGE else _without_none(asdict(job.alert)),
    }
    left_out = SLOT_FIELDS if isinstance(job.schedule, Cron) and job.schedule.is_manual else ()
    return {key: value for key, value in fields.items() if value is not None and key not in left_out}


def limits_json(limits: Limits) -> dict[str, Any]:
    """Return limits as in a job file."""
    cpu = None if limits.cpu is None else f"{limits.cpu * 100:.9g}%"
    return _without_none({"memory": limits.memory, "cpu": cpu, "processes": limits.processes})


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
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
    """Format an instant in UTC, with milliseconds if it has any; None remains None."""
    return None if at is None else format_instant(at)
