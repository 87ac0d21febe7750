"""Read the last records of jobs before this start from the end of the log, when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path

from jobscheduler.control.recent_record_times import RecentRecordTimes
from jobscheduler.model import Record
from jobscheduler.model.log_line import RECORD_KINDS, parse_record
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.runlog.query import iter_lines_newest_first
from jobscheduler.status.run_stats import RunStats
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.instants import utc_now

MAX_SCAN_RECORDS = 50_000  # records read from the end of the log, within a moment; `history` shows older ones


class LastRecordLoader:
    """Load the last record of each job from the log into `results`; the first call reads, the others wait for it.

    `recent`, if given, receives the instants of all records that are read.

    Invariant: a record written since the start is newer, and is never replaced.
    """

    def __init__(
        self,
        log: Path,
        backups: int,
        results: RunStats,
        recent: RecentRecordTimes | None = None,
        ask: Callable[[Callable[[], None]], None] = lambda question: question(),
    ) -> None:
        """`ask` makes the call that reads the log, and raises `CallHung` when the log does not answer."""
        self._log = log, backups
        self._results = results
        self._recent = recent
        self._since = utc_now()
        self._ask = ask
        self._lock = threading.Lock()
        self._is_done = self._is_over = False

    def __call__(self) -> None:
        """Load the records unless that is done. If the log does not answer, the next call tries again."""
        if not self._is_over:
            with suppress(CallHung):
                self._ask(self._load)

    def _load(self) -> None:
        with self._lock:
            if not self._is_done:
                self._is_done = True
                with suppress(OSError):  # the log cannot be read: the log reports that itself
                    for record in self._newest():
                        self._results.restore(record)
            self._is_over = True

    def _newest(self) -> Iterator[Record]:
        seen: set[str] = set()
        for line in islice(iter_lines_newest_first(*self._log, LogFilter(kinds=RECORD_KINDS)), MAX_SCAN_RECORDS):
            job_id = line.get("job_id", "")
            self._note(job_id, line["time"])
            if job_id in seen:
                continue
            seen.add(job_id)
            if self._results.last_record(job_id) is None:
                with suppress(ValueError, KeyError):
                    yield parse_record(line, with_output=True)

    def _note(self, job_id: str, time: str) -> None:
        if self._recent is not None and (at := datetime.fromisoformat(time)) < self._since:
            self._recent.restore(job_id, at)
