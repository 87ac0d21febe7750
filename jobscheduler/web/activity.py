"""Read the log for the pages: one request at a time, and the last day at most every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.status.run_stats import Records
from jobscheduler.status.snapshot import Snapshot
from jobscheduler.web.log_record import LoggedRun, latest, parse_records
from jobscheduler.web.time_axis import WINDOW, TimeAxis, zone_of
from jobscheduler.web.timeline import ISSUE_KINDS, MAX_ROWS, MAX_SLOTS, Timeline, rank_jobs, timeline
from jobscheduler.web.view import ServiceView

MAX_RECORDS = 10_000  # records of the log read for the timeline

MAX_ISSUES = 2000  # records of issues read if there are more than `MAX_RECORDS` records

MAX_READS_OF_JOB = 1000  # records read of one job

TIMELINE_MAX_AGE_S = 10.0  # seconds that a timeline is reused, since making it reads the log

READ_WAIT_S = 3.0  # seconds that a request waits for others that read the log

POLL_S = 0.2  # seconds between two checks whether the client of such a request is still there

Check = Callable[[], object]  # called now and then while the log is read; an exception that it raises ends the reading


class Busy(Exception):
    """Too many requests read the log at once."""


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """The records of the last day, newest first, and their timeline; `at` is the monotonic time it was made."""

    at: float
    records: Sequence[LoggedRun]
    timeline: Timeline


class Activity:
    """The records of the log, as far as pages show them.

    Lock: held by the one request that reads the log.
    """

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._last: RecentActivity | None = None

    def history(self, job_id: str, check: Check) -> Records:
        """Return the newest records of one job.

        Raises:
            Busy: other requests read the log for longer than this one waits.

        """
        with self.exclusive(check):
            return self._view.history(job_id, MAX_READS_OF_JOB, check)

    def recent(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        """Return the last day, at most `TIMELINE_MAX_AGE_S` old; one request reads it and the others wait."""
        with self.exclusive(check):
            if self._last is None or time.monotonic() - self._last.at > TIMELINE_MAX_AGE_S:
                self._last = self._read_log(snapshot, check)
            return self._last

    def _read_log(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        now = snapshot.at
        records, read_from = self._records(now, check)
        order = rank_jobs(records, snapshot.jobs, now)
        upcoming = self._view.upcoming(order[:MAX_ROWS], now + WINDOW, MAX_SLOTS)
        jobs = {job.id: job for job in snapshot.jobs if job.id}
        layout = timeline(TimeAxis(now, zone_of(snapshot)), records, jobs, order, upcoming, read_from)
        return RecentActivity(time.monotonic(), records, layout)

    def _records(self, now: datetime, check: Check) -> tuple[list[LoggedRun], datetime]:
        """Return the records of the last day, and since when they are complete; before that only issues are read."""
        answer = self._view.records(now - WINDOW, MAX_RECORDS, check=check)
        records = latest(parse_records(answer.lines))
        if answer.since is None or answer.since <= now - WINDOW:
            return records, now - WINDOW
        issues = parse_records(self._view.records(now - WINDOW, MAX_ISSUES, ISSUE_KINDS, check).lines)
        return [*records, *(run for run in issues if run.at < answer.since)], answer.since

    @contextmanager
    def exclusive(self, check: Check) -> Iterator[None]:
        """Hold the exclusive right to read the log, so that many requests cost no more than one.

        Raises:
            Busy: other requests read it for longer than `READ_WAIT_S`.

        """
        deadline = time.monotonic() + READ_WAIT_S
        while not self._lock.acquire(timeout=POLL_S):
            check()
            if time.monotonic() > deadline:
                raise Busy
        try:
            yield
        finally:
            self._lock.release()
