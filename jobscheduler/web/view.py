"""What the pages read of the service. They ask on threads of their own, often at once, and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from jobscheduler.model import Status
from jobscheduler.status.run_detail import LiveRun, RunDetail
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import Detail, Snapshot


class ServiceView(Protocol):
    """The service, as far as it is shown.

    Thread: any, for every method.
    """

    @property
    def results(self) -> RunStats:
        """The outcomes of runs since the start."""
        ...

    def snapshot(self) -> Snapshot:
        """Return the state of everything, at most about a second old."""
        ...

    def detail(self, job_id: str) -> Detail | None:
        """Return details of a job, None if no job of this id is active."""
        ...

    def upcoming(self, job_ids: Sequence[str], until: datetime, limit: int) -> Mapping[str, Sequence[datetime]]:
        """Return the slots of these jobs from now to `until`, in order, at most `limit` of each job."""
        ...

    def records(
        self,
        since: datetime,
        limit: int,
        statuses: Collection[Status] = tuple(Status),
        check: Callable[[], object] = lambda: None,
    ) -> Records:
        """Return the newest `limit` records of all jobs with these statuses since then, within a bound of bytes.

        `check` is called now and then; an exception that it raises ends the reading.
        """
        ...

    def history(self, job_id: str, limit: int, check: Callable[[], object] = lambda: None) -> Records:
        """Return the newest `limit` records of one job, or as many of them as a bound of bytes reaches.

        `check` is called now and then; an exception that it raises ends the reading.
        """
        ...

    def run(self, run_id: str) -> RunDetail | None:
        """Return all that is known of one run, None if that is nothing."""
        ...

    def live_runs(self, run_ids: Sequence[str]) -> Mapping[str, LiveRun]:
        """Return how these runs at work are, by id: their last line of output, and what they use."""
        ...

    def outputs(self, job_id: str, runs: Mapping[str, datetime | None]) -> Mapping[str, bytes]:
        """Return what was kept of the last attempts of runs of a job, by run. `runs` says when each began."""
        ...

    def health(self) -> str | None:
        """Return what is wrong with the scheduling loop or the watcher, None if both are alive and on time."""
        ...
