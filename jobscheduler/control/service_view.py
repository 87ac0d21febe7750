"""What the web pages show of the service (see `web.view.ServiceView`): everything here reads, and changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from jobscheduler.config import Settings
from jobscheduler.control.live_runs import live_runs
from jobscheduler.control.past_runs import PastRuns
from jobscheduler.control.recent_record_times import MAX_RECORDS_OF_JOB, RecentRecordTimes
from jobscheduler.control.service_status import LiveIssues
from jobscheduler.control.snapshot_builder import SnapshotBuilder
from jobscheduler.model import Status
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog.bounded_query import Newest, ReadLimit, newest_records, records_at
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_detail import LiveRun, RunDetail
from jobscheduler.status.run_stats import Records, RunStats
from jobscheduler.status.snapshot import Detail, Snapshot
from jobscheduler.util.hang_guard import CallHung

Lines = list[dict[str, str]]

SNAPSHOT_MAX_AGE_S = 1.0  # seconds that all viewers of the page share one snapshot

DAY_BYTES = 64 * 1024 * 1024  # bytes of the log read for the timeline of the last day

JOB_BYTES = 16 * 1024 * 1024  # bytes of the log's end read for the page of a job


class KeptLines(Protocol):
    """Has records, but not in a log file (see `runlog.recent_lines.RecentLines`)."""

    def newest(self, wanted: LogFilter, most: int) -> Newest:
        """Return the newest wanted lines, at most `most`, newest first."""


class SharedSnapshot:
    """The snapshot that all viewers share. Thread: any; one of them builds it while the others wait."""

    def __init__(self, snapshots: SnapshotBuilder) -> None:
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._taken: tuple[float, Snapshot] | None = None

    def get(self) -> Snapshot:
        """Return a snapshot that is at most `SNAPSHOT_MAX_AGE_S` old."""
        with self._lock:
            now = time.monotonic()
            if self._taken is None or now - self._taken[0] > SNAPSHOT_MAX_AGE_S:
                self._taken = now, self._snapshots.build()
            return self._taken[1]


class LiveServiceView:
    """A read-only view of the running service."""

    def __init__(
        self,
        settings: Settings,
        snapshots: SnapshotBuilder,
        scheduler: Scheduler,
        results: RunStats,
        issues: LiveIssues,
        recent: RecentRecordTimes,
        past_runs: PastRuns,
        ask: Callable[[Callable[[], Records]], Records] = lambda question: question(),
        kept: KeptLines | None = None,
    ) -> None:
        """`ask` makes the call that reads the log, and raises `CallHung` when the log does not answer.

        `kept` has the records instead of a log file: the last ones in memory, or those of a cluster in its account.
        """
        self._kept = kept
        self._past_runs = past_runs
        self._ask = ask
        self._log = settings.log_file, settings.log_backups
        self._snapshots = snapshots
        self._shared = SharedSnapshot(snapshots)
        self._scheduler = scheduler
        self._issues = issues
        self._results = results
        self._recent = recent

    @property
    def results(self) -> RunStats:
        """The outcomes of runs since the start."""
        return self._results

    def snapshot(self) -> Snapshot:
        """Return the state of everything, at most a second old, however many requests there are."""
        return self._shared.get()

    def detail(self, job_id: str) -> Detail | None:
        """Return details of a job, None if no job of this id is active."""
        return self._snapshots.job_detail(job_id)

    def upcoming(self, job_ids: Sequence[str], until: datetime, limit: int) -> Mapping[str, Sequence[datetime]]:
        """Return the slots of these jobs from now to `until`, in order, at most `limit` of each job."""
        slots_of = partial(self._scheduler.upcoming, count=limit, with_paused=True)
        return {job_id: [slot for slot, _ in slots_of(job_id) if slot <= until] for job_id in job_ids}

    def records(
        self,
        since: datetime,
        limit: int,
        statuses: Collection[Status] = tuple(Status),
        check: Callable[[], object] = lambda: None,
    ) -> Records:
        """Return the newest `limit` records of all jobs with these statuses since then, as far as `DAY_BYTES` reach.

        `check` is called now and then; an exception that it raises ends the reading.
        """
        log_filter = LogFilter(None, frozenset(status.value for status in statuses), since)
        if self._kept is not None:
            return _kept_records(self._kept, log_filter, limit)
        return self._wanted_records(lambda: self._records(log_filter, limit, check))

    def _records(self, log_filter: LogFilter, limit: int, check: Callable[[], object]) -> Records:
        answer = newest_records(*self._log, log_filter, limit, ReadLimit(DAY_BYTES, check))
        return Records(
            [_record(line) for line in answer.lines], answer.read_since, is_complete=answer.read_since is None
        )

    def history(self, job_id: str, limit: int, check: Callable[[], object] = lambda: None) -> Records:
        """Return the newest `limit` records of one job, or as many of them as `JOB_BYTES` reach.

        The end of the log is read; older records are found by their instants, as far as those are remembered.
        """
        if self._kept is not None:
            return _kept_records(self._kept, LogFilter(job_id, RECORD_KINDS), limit)
        return self._wanted_records(lambda: self._history(job_id, limit, check))

    def _wanted_records(self, question: Callable[[], Records]) -> Records:
        """Ask the log. If it does not answer there are no records; the page shows that elsewhere."""
        try:
            return self._ask(question)
        except CallHung:
            return Records([], None, is_complete=False)

    def _history(self, job_id: str, limit: int, check: Callable[[], object]) -> Records:
        log_filter = LogFilter(job_id, RECORD_KINDS)
        newest = newest_records(*self._log, log_filter, limit, ReadLimit(JOB_BYTES, check))
        if newest.read_since is None or len(newest.lines) >= limit:
            return Records(
                [_record(line) for line in newest.lines], newest.read_since, is_complete=newest.read_since is None
            )
        older_instants = [at for at in self._recent.of(job_id) if at < newest.read_since][
            : max(0, MAX_RECORDS_OF_JOB - len(newest.lines))
        ]
        older = records_at(*self._log, log_filter, older_instants) if older_instants else []
        return Records([_record(line) for line in (*newest.lines, *older)], newest.read_since, is_complete=False)

    def run(self, run_id: str) -> RunDetail | None:
        """Return all that is known of one run, None if that is nothing."""
        return self._past_runs.detail(run_id)

    def live_runs(self, run_ids: Sequence[str]) -> Mapping[str, LiveRun]:
        """Return how these runs at work are, by id."""
        return live_runs(run_ids, self._scheduler.runs.active)

    def outputs(self, job_id: str, runs: Mapping[str, datetime | None]) -> Mapping[str, bytes]:
        """Return what was kept of the last attempts of runs of a job, by run. `runs` says when each began."""
        return self._past_runs.outputs(job_id, runs)

    def health(self) -> str | None:
        """Return what is wrong with the scheduling loop or the watcher, None if both are alive and on time."""
        overdue = self._issues.overdue()
        if overdue is not None:
            return f"{overdue} is not on time"
        return next(iter(self._issues.issues()), None)


def _kept_records(kept: KeptLines, wanted: LogFilter, most: int) -> Records:
    """Return the records that memory has. There are no others, so they are complete."""
    answer = kept.newest(wanted, most)
    return Records([_record(line) for line in answer.lines], answer.read_since)


def _record(line: LogLine) -> Mapping[str, Any]:
    return {**line.pairs, "status": line.pairs["word"]}
