"""Answers of the control socket as the verbs get them, for tests of what the verbs print."""

from __future__ import annotations

from typing import Any


def listed(job_id: str | None, status: str = "ok", **fields: Any) -> dict[str, Any]:
    """A job of the list, scheduled and idle unless the fields say otherwise."""
    return {
        "job_id": job_id,
        "status": status,
        "state": "scheduled",
        "file": f"{job_id}.json",
        "next": None,
        "next_start": None,
        "stale": False,
        "paused": False,
        "overdue_since": None,
        "failures": 0,
        "failing_since": None,
        "last_success": None,
        "usual": None,
        "last_line": None,
        "last": None,
        "active_runs": [],
        "problems": [],
        **fields,
    }


def at_work(
    started: str | None, waiting_for: str | None = None, *, attempt: int = 1, pid: int | None = None
) -> dict[str, Any]:
    """A run without a record."""
    run = {"run_id": "a", "scheduled": None, "started": started, "attempt": attempt}
    return {**run, "waiting_for": waiting_for, "pid": pid}


def problem(file: str, message: str = "unknown field `shedule`", help_: str | None = None) -> dict[str, Any]:
    """A problem of a file."""
    return {"state": "refused", "message": message, "file": file, "line": 4, "column": 15, "notes": [], "help": help_}


def situation(**fields: Any) -> dict[str, Any]:
    """The answer to `status` of a service with three jobs and nothing to report, unless the fields say otherwise."""
    nothing: dict[str, Any] = {"count": 0, "jobs": []}
    return {
        "version": "1.0",
        "pid": 7,
        "started": "2026-11-29T22:00:00Z",
        "timezone": "Europe/Berlin",
        "jobs_dir": "/etc/scheduler/jobs.d",
        "database": "",
        "log_file": "/var/log/scheduler/scheduler.log",
        "jobs": {"scheduled": 3, "refused": 1},
        "running": 0,
        "queued": 0,
        "workers": 32,
        "lost_threads": 0,
        "late_part": None,
        "issues": [],
        "notes": [],
        "problems": [],
        "failing": nothing,
        "overdue": nothing,
        "running_jobs": nothing,
        "paused": nothing,
        "upcoming": [],
        **fields,
    }
