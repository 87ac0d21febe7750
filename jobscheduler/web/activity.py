"""Read the log for the pages: one request at a time, and the last day or week at most every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from jobscheduler.model import Status
from jobscheduler.status.run_stats import LAST_RUNS, Records
from jobscheduler.status.snapshot import JobStatus, Snapshot
from jobscheduler.web.log_record import LoggedRun, latest, parse_records
from jobscheduler.web.page_query import PageQuery
from jobscheduler.web.prepared_records import ISSUE_KINDS, Past, past, rank_jobs
from jobscheduler.web.time_axis import WINDOW, TimeAxis, zone_of
from jobscheduler.web.timeline import MAX_ROWS, MAX_SLOTS, Timeline, timeline
from jobscheduler.web.view import ServiceView

MAX_RECORDS = 10_000  # records of the log read for the timeline

MAX_ISSUES = 2000  # records of issues read if there are more than `MAX_RECORDS` records

MAX_READS_OF_JOB = 1000  # records read of one job

TIMELINE_MAX_AGE_S = 10.0  # seconds that a timeline is reused, since making it reads the log

MAX_STALE_S = 60.0  # seconds that it is still shown while the log is read anew in the background

MAX_TIMELINES = 16  # timelines kept, one for each query

READ_WAIT_S = 3.0  # seconds that a request waits for others that read the log

POLL_S = 0.2  # seconds between two checks whether the client of such a request is still there

Check = Callable[[], object]  # called now and then while the log is read; an exception that it raises ends the reading


class Busy(Exception):
    """Too many requests read the log at once."""


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """The records of a window, newest first, complete from `read_from` on; `at` is the monotonic time of reading.

    `runs` has the last runs of each job, the newest first, and `failures` the last failure.
    """

    at: float
    records: Sequence[LoggedRun]
    read_from: datetime
    runs: Mapping[str, Sequence[LoggedRun]]
    failures: Mapping[str, LoggedRun]


class Activity:
    """The records of the log, as far as pages show them.

    Lock: held by the one request that reads the log.
    """

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._is_refreshing = threading.Event()
        self._read: dict[timedelta, RecentActivity] = {}
        self._prepared: dict[timedelta, tuple[RecentActivity, Past]] = {}
        self._timelines: dict[PageQuery, tuple[float, Timeline]] = {}

    def history(self, job_id: str, check: Check) -> Records:
        """Return the newest records of one job.

        Raises:
            Busy: other requests read the log for longer than this one waits.

        """
        with self.exclusive(check):
            return self._view.history(job_id, MAX_READS_OF_JOB, check)

    def recent(
        self, snapshot: Snapshot, chosen: Sequence[JobStatus], query: PageQuery, check: Check
    ) -> tuple[RecentActivity, Timeline]:
        """Return what happened lately and its timeline, which is of the jobs that the query has chosen.

        It is at most `TIMELINE_MAX_AGE_S` old, or up to `MAX_STALE_S` while it is read anew in the background: a page
        that reloads itself never waits for the log. One request reads and the others wait.
        """
        with self.exclusive(check):
            window = max(WINDOW, query.reach)
            read = self._read.get(window)
            age = MAX_STALE_S if read is None else time.monotonic() - read.at
            if read is None or age >= MAX_STALE_S:
                read = self._read[window] = self._read_log(snapshot.at, window, check)
            elif age > TIMELINE_MAX_AGE_S and not self._is_refreshing.is_set():
                self._is_refreshing.set()
                refresh = partial(self._refresh, snapshot, chosen, query)
                threading.Thread(target=refresh, name="web-log", daemon=True).start()
            return read, self._timeline(snapshot, chosen, query, read)

    def _refresh(self, snapshot: Snapshot, chosen: Sequence[JobStatus], query: PageQuery) -> None:
        """Read the log anew and lay out the timeline of this query, which is likely to be asked for again.

        An error is that of the next request that has to wait for it.

        Thread: one of its own, one at a time.
        """
        try:
            with suppress(OSError):
                window = max(WINDOW, query.reach)
                read = self._read_log(snapshot.at, window, lambda: None)
                self._timeline(snapshot, chosen, query, read)
                self._read[window] = read
        finally:
            self._is_refreshing.clear()

    def _timeline(
        self, snapshot: Snapshot, chosen: Sequence[JobStatus], query: PageQuery, read: RecentActivity
    ) -> Timeline:
        """Return the timeline of these records; a former one while it is fresh."""
        key = PageQuery(q=query.q, state=query.state, tag=query.tag, zoom=query.zoom)
        former = self._timelines.get(key)
        if former is not None and former[0] >= read.at:
            return former[1]
        axis = TimeAxis(snapshot.at, zone_of(snapshot), query.reach)
        jobs = {job.id: job for job in chosen if job.id}
        known = self._past(read, axis)
        if query.is_filter:
            known = known.only(jobs)
        order = rank_jobs(known.ranks, chosen, snapshot.at + query.reach)
        upcoming = self._view.upcoming(order[:MAX_ROWS], snapshot.at + query.reach, MAX_SLOTS)
        made = timeline(axis, known, jobs, order, upcoming, read.read_from)
        if len(self._timelines) >= MAX_TIMELINES:
            self._timelines.clear()
        self._timelines[key] = time.monotonic(), made
        return made

    def _past(self, read: RecentActivity, axis: TimeAxis) -> Past:
        """Return what was read, prepared for all timelines of this reach until it is read anew."""
        former = self._prepared.get(axis.reach)
        if former is None or former[0] is not read:
            former = self._prepared[axis.reach] = read, self._prepare(read, axis.now, axis.reach)
        return former[1]

    @staticmethod
    def _prepare(read: RecentActivity, now: datetime, reach: timedelta) -> Past:
        if reach >= WINDOW:  # the records are those of this window
            return past(read.records)
        return past([run for run in read.records if run.end >= now - reach])

    def _read_log(self, now: datetime, window: timedelta, check: Check) -> RecentActivity:
        records, read_from = self._records(now - window, check)
        runs: dict[str, list[LoggedRun]] = {}
        failures: dict[str, LoggedRun] = {}
        for run in records:
            if run.started is not None:
                of_job = runs.setdefault(run.job_id, [])
                if len(of_job) < LAST_RUNS:
                    of_job.append(run)
            if run.status is Status.FAILURE:
                failures.setdefault(run.job_id, run)
        return RecentActivity(time.monotonic(), records, read_from, runs, failures)

    def _records(self, since: datetime, check: Check) -> tuple[list[LoggedRun], datetime]:
        """Return the records since then, and from when on they are complete; before that only issues are read."""
        answer = self._view.records(since, MAX_RECORDS, check=check)
        records = latest(parse_records(answer.lines))
        if answer.since is None or answer.since <= since:
            return records, since
        issues = parse_records(self._view.records(since, MAX_ISSUES, ISSUE_KINDS, check).lines)
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
