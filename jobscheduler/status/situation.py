"""Sum up what needs an operator, what runs, what is paused and what comes next. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from jobscheduler.status.shown_status import ShownStatus, all_words, worst
from jobscheduler.status.snapshot import JobStatus, Snapshot
from jobscheduler.status.snapshot_json import active_run_json, instant, record_json

MAX_NAMED_JOBS = 50  # jobs that are named in each group; the count says how many there are
MAX_NEXT_JOBS = 5  # jobs named that start next

_EPOCH = datetime.fromtimestamp(0, UTC)


def situation_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the groups of the situation as JSON, each with its count and its first jobs."""
    words_of = [(job, all_words(job)) for job in snapshot.jobs]

    def of(word: ShownStatus) -> list[JobStatus]:
        return [job for job, words in words_of if word.value in words]

    return {
        "statuses": count_statuses(worst(words) for _, words in words_of),
        "failing": _group(of(ShownStatus.FAILING), _failing_since, failing_json),
        "overdue": _group(of(ShownStatus.OVERDUE), lambda job: job.overdue_since or _EPOCH, overdue_json),
        "running_jobs": _group(of(ShownStatus.RUNNING), _running_since, running_json),
        "paused": _group(of(ShownStatus.PAUSED), lambda job: job.id or "", paused_json),
        "upcoming": _upcoming(snapshot.jobs),
    }


def count_statuses(statuses: Iterable[ShownStatus]) -> dict[str, int]:
    """Return how many jobs have each status, the worst first; only those that some job has."""
    counts = Counter(statuses)
    return {status.value: counts[status] for status in ShownStatus if counts[status]}


def failing_json(job: JobStatus) -> dict[str, Any]:
    """Return a failing job: since when, how often, and the end of its output."""
    return {
        "job_id": job.id,
        "failing_since": instant(job.failing_since or (job.last.at if job.last else None)),
        "failures": job.failures or None,
        "last": record_json(job.last) if job.last else None,
        "last_line": job.last_line,
    }


def overdue_json(job: JobStatus) -> dict[str, Any]:
    """Return an overdue job: since when, and its last success."""
    return {
        "job_id": job.id,
        "overdue_since": instant(job.overdue_since),
        "last_success": instant(job.last_success),
        "in_force_since": instant(job.in_force_since),
    }


def running_json(job: JobStatus) -> dict[str, Any]:
    """Return a running job with its runs and its usual duration."""
    return {"job_id": job.id, "usual": job.usual, "active_runs": [active_run_json(run) for run in job.active_runs]}


def paused_json(job: JobStatus) -> dict[str, Any]:
    """Return a paused job."""
    return {"job_id": job.id}


def _group(
    jobs: list[JobStatus], key: Callable[[JobStatus], Any], as_json: Callable[[JobStatus], dict[str, Any]]
) -> dict[str, Any]:
    named = sorted(jobs, key=key)[:MAX_NAMED_JOBS]
    return {"count": len(jobs), "jobs": [as_json(job) for job in named]}


def _failing_since(job: JobStatus) -> datetime:
    return job.failing_since or (job.last.at if job.last else _EPOCH)


def _running_since(job: JobStatus) -> datetime:
    return min((run.started for run in job.active_runs if run.started), default=_EPOCH)


def _upcoming(jobs: Iterable[JobStatus]) -> list[dict[str, Any]]:
    """Return the jobs that start next, each with its slot and its start."""
    starts = sorted((job.start or job.next, job.id or "", job.next) for job in jobs if job.next)
    return [
        {"job_id": job_id, "scheduled": instant(slot), "start": instant(start)}
        for start, job_id, slot in starts[:MAX_NEXT_JOBS]
    ]
