"""What the page is given to show. It asks, on threads of its own and often at the same time; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from jobscheduler.model import Status
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import Detail, Snapshot


class ServiceView(Protocol):
    """The service, as far as it is shown. Every method may be called from any thread."""

    @property
    def results(self) -> RunStats:
        """What has become of runs since the start."""
        ...

    def snapshot(self) -> Snapshot:
        """How everything stands; at most about a second old."""
        ...

    def detail(self, job_id: str) -> Detail | None:
        """More about one job, None if no job of this id is in force."""
        ...

    def upcoming(self, job_ids: Sequence[str], until: datetime, most: int) -> Mapping[str, Sequence[datetime]]:
        """The slots of these jobs from now to `until`, in order, at most the next `most` of each."""
        ...

    def records(
        self,
        since: datetime,
        most: int,
        statuses: Collection[Status] = tuple(Status),
        check: Callable[[], object] = lambda: None,
    ) -> Records:
        """The newest `most` records of all jobs with these statuses in the log since then, as far as a bound of bytes.

        `check` is called now and then; what it raises ends the reading.
        """
        ...

    def history(self, job_id: str, most: int, check: Callable[[], object] = lambda: None) -> Records:
        """The newest `most` records of one job, or as many of them as are found within a bound of bytes.

        `check` is called now and then; what it raises ends the reading.
        """
        ...

    def output(self, run_id: str) -> bytes | None:
        """All that was kept of what a run printed, None if that is no longer kept."""
        ...

    def health(self) -> str | None:
        """What is wrong with the scheduling loop or the watcher, None if both are alive and on time."""
        ...
