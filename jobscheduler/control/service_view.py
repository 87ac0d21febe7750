"""What the page is given to show of the service (a `web.Face`): it reads, and changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobscheduler.config import Settings
from jobscheduler.control.recent_records import MAX_RECORDS_OF_JOB, RecentRecords
from jobscheduler.control.snapshot_builder import SnapshotBuilder, Supervising
from jobscheduler.model import Status
from jobscheduler.runlog.bounded_query import ReadLimit, newest_records, records_at
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.runlog.parse import RECORD_KINDS
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import Detail, Snapshot
from jobscheduler.util.hang_guard import CallHung

Lines = list[dict[str, str]]

SNAPSHOT_MAX_AGE_S = 1.0
"""How long a snapshot serves everybody who looks at the page, in seconds."""


DAY_BYTES = 64 * 1024 * 1024
"""How many bytes of the log are read for a drawing of the last day."""

JOB_BYTES = 16 * 1024 * 1024
"""How many bytes of the log's end are read for the page of a job."""


class LiveServiceView:
    """The service, as far as it is shown."""

    def __init__(
        self,
        settings: Settings,
        snapshots: SnapshotBuilder,
        scheduler: Scheduler,
        results: RunStats,
        supervising: Supervising,
        recent: RecentRecords,
        ask: Callable[[Callable[[], Records]], Records] = lambda question: question(),
    ) -> None:
        """`ask` makes the call that reads the log, and raises `Hung` when that does not answer."""
        self._ask = ask
        self._log = settings.log_file, settings.log_backups
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._supervising = supervising
        self._results = results
        self._recent = recent
        self._lock = threading.Lock()
        self._snapshot_taken: tuple[float, Snapshot] | None = None

    @property
    def results(self) -> RunStats:
        """What has become of runs since the start."""
        return self._results

    def snapshot(self) -> Snapshot:
        """How everything stands; at most a second old, however many ask."""
        with self._lock:
            now = time.monotonic()
            if self._snapshot_taken is None or now - self._snapshot_taken[0] > SNAPSHOT_MAX_AGE_S:
                self._snapshot_taken = now, self._snapshots.build()
            return self._snapshot_taken[1]

    def detail(self, job_id: str) -> Detail | None:
        """More about one job, None if no job of this id is in force."""
        return self._snapshots.job_detail(job_id)

    def upcoming(self, job_ids: Sequence[str], until: datetime, most: int) -> Mapping[str, Sequence[datetime]]:
        """The slots of these jobs from now to `until`, in order, at most the next `most` of each."""
        return {
            job_id: [slot for slot, _ in self._scheduler.upcoming(job_id, most) if slot <= until] for job_id in job_ids
        }

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
        words = frozenset(status.value for status in statuses)
        return self._wanted_records(lambda: self._records(LogFilter(None, words, since), most, check))

    def _records(self, wanted: LogFilter, most: int, check: Callable[[], object]) -> Records:
        found = newest_records(*self._log, wanted, most, ReadLimit(DAY_BYTES, check))
        return Records([_record(one) for one in found.found], found.read_since, is_complete=found.read_since is None)

    def history(self, job_id: str, most: int, check: Callable[[], object] = lambda: None) -> Records:
        """The newest `most` records of one job, or as many of them as are found within a bound of bytes.

        The end of the log is read; older ones are found by their instants, as far as those are known.
        """
        return self._wanted_records(lambda: self._history(job_id, most, check))

    def _wanted_records(self, question: Callable[[], Records]) -> Records:
        """Ask the log; one that does not answer has no records, and the page says so elsewhere."""
        try:
            return self._ask(question)
        except CallHung:
            return Records([], None, is_complete=False)

    def _history(self, job_id: str, most: int, check: Callable[[], object]) -> Records:
        wanted = LogFilter(job_id, RECORD_KINDS)
        near = newest_records(*self._log, wanted, most, ReadLimit(JOB_BYTES, check))
        if near.read_since is None or len(near.found) >= most:
            return Records([_record(one) for one in near.found], near.read_since, is_complete=near.read_since is None)
        before = [one for one in self._recent.of(job_id) if one < near.read_since][
            : max(0, MAX_RECORDS_OF_JOB - len(near.found))
        ]
        far = records_at(*self._log, wanted, before) if before else []
        return Records([_record(one) for one in (*near.found, *far)], near.read_since, is_complete=False)

    def output(self, run_id: str) -> bytes | None:
        """All that was kept of what a run printed, None if that is no longer kept."""
        return self._scheduler.outputs.get(run_id)

    def health(self) -> str | None:
        """What is wrong with the scheduling loop or the watcher, None if both are alive and on time."""
        late = self._supervising.overdue()
        if late is not None:
            return f"{late} is not on time"
        return next(iter(self._supervising.issues()), None)


def _record(found: LogLine) -> Mapping[str, Any]:
    return {**found.pairs, "status": found.pairs["word"]}
