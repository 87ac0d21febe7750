"""Prepare records for the timeline, once for all viewers: by job, and how much each job needs attention. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.model import Status
from jobscheduler.status.snapshot import JobStatus
from jobscheduler.web.log_record import LoggedRun
from jobscheduler.web.time_axis import Span

ISSUE_KINDS = (Status.FAILURE, Status.MISSED, Status.SKIPPED)  # statuses that need attention, the worst first

SEVERITY_OF = {status: severity for severity, status in enumerate(ISSUE_KINDS)}

Rank = tuple[int, float]  # the place of the worst status, and the time of its latest record, negative


@dataclass(frozen=True, slots=True)
class Past:
    """Records, prepared once for every timeline of them.

    `of_job` has those of each job, the oldest first; `ranks` says how much each job needs attention, the lowest first;
    `spans` says when each run began and ended, in seconds of the epoch.
    """

    of_job: Mapping[str, Sequence[LoggedRun]]
    ranks: Mapping[str, Rank]
    spans: Sequence[Span]

    def has_issue(self, job_id: str) -> bool:
        """Return whether a record of the job is an issue."""
        return job_id in self.ranks and self.ranks[job_id][0] < len(ISSUE_KINDS)

    def only(self, jobs: Container[str]) -> Past:
        """Return what is known of some jobs."""
        ranks = {job_id: rank for job_id, rank in self.ranks.items() if job_id in jobs}
        if len(ranks) == len(self.ranks):
            return self
        return Past(self.of_job, ranks, [span for span in self.spans if span[0] in ranks])


def past(records: Sequence[LoggedRun]) -> Past:
    """Prepare records, the newest first."""
    of_job: dict[str, list[LoggedRun]] = {}
    for run in reversed(records):
        of_job.setdefault(run.job_id, []).append(run)
    spans = [
        (run.job_id, run.started.timestamp(), run.started.timestamp() + (run.duration or 0.0))
        for run in records
        if run.started is not None
    ]
    return Past(of_job, {job_id: min(map(_rank, runs)) for job_id, runs in of_job.items()}, spans)


def _rank(run: LoggedRun) -> Rank:
    return SEVERITY_OF.get(run.status, len(ISSUE_KINDS)), -run.at.timestamp()


def rank_jobs(ranks: Mapping[str, Rank], jobs: Iterable[JobStatus], until: datetime) -> list[str]:
    """Return the ids of jobs that ran or are due until then, in order of rank, also those beyond the last row."""
    troubled = sorted((job_id for job_id, rank in ranks.items() if rank[0] < len(ISSUE_KINDS)), key=ranks.__getitem__)
    busy = {job.id for job in jobs if job.id and job.active_runs}
    ran = sorted(busy.union(ranks).difference(troubled))
    known = {*troubled, *ran}
    due = [(job.next, job.id) for job in jobs if job.id not in known and job.id and job.next and job.next <= until]
    return [*troubled, *ran, *(job_id for _, job_id in sorted(due))]
