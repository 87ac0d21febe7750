"""Select, rank and page the jobs of a list. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobscheduler.model import Status
from jobscheduler.status.snapshot import JobState, JobStatus, Snapshot

PER_PAGE = 100  # jobs, or files, on one page of a list


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: its jobs, and its position in the list."""

    jobs: Sequence[JobStatus]
    number: int
    pages: int
    found: int
    first: int


def select_jobs(snapshot: Snapshot, text: str, state: str) -> list[JobStatus]:
    """Return the jobs that contain a text and are in a state, ranked; empty texts select all."""
    return sorted((job for job in snapshot.jobs if _matches(job, text.lower(), state)), key=_rank)


def is_failing(job: JobStatus) -> bool:
    """Return whether the last record of a job is a failure."""
    return job.last is not None and job.last.status is Status.FAILURE


def _matches(job: JobStatus, text: str, state: str) -> bool:
    if state and state != ("failing" if is_failing(job) else "") and state != job.state.value:
        return False
    description = job.job.description if job.job else ""
    return not text or any(text in value.lower() for value in (job.id or "", description, job.file))


def _rank(job: JobStatus) -> tuple[bool, bool, bool, str]:
    """Return the sort key of a job: those that need attention first, then active ones, then by id."""
    needs_attention = is_failing(job) or job.stale or job.state is JobState.REFUSED
    return not needs_attention, job.state is JobState.REFUSED, not job.active_runs, job.id or job.file


def filter_chips(snapshot: Snapshot, failing: int) -> list[tuple[str, int]]:
    """Return the filters, and how many jobs each of them finds."""
    states = [(state.value, count) for state, count in snapshot.count().items() if count]
    return [*([("failing", failing)] if failing else []), *states]


def list_page(jobs: Sequence[JobStatus], query: Mapping[str, str]) -> ListPage:
    """Return the page of a list that a query asks for; the nearest one if there is no such page."""
    pages = max(1, -(-len(jobs) // PER_PAGE))
    page = query.get("page", "1")
    number = min(pages, max(1, int(page))) if page.isascii() and page.isdigit() and len(page) < 9 else 1
    first = (number - 1) * PER_PAGE
    return ListPage(jobs[first : first + PER_PAGE], number, pages, len(jobs), first)
