"""Count the outcomes of runs since the service started: for each active job, and in total.

`observe` receives every line as it is written, often under a lock of its caller: it only counts.
Nothing here survives a restart; the log does.

Thread: any, for all other methods.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Any

from jobscheduler.model import Event, LogEntry, Record, Status
from jobscheduler.status.histogram import Histogram, HistogramBuilder

# Upper bounds of the buckets of each histogram, in seconds.
DURATION = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)  # of a run
LATENESS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)  # from a slot to the start of its run
LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)  # from a file's change to its job being active

MAX_LAST_LINE_CHARS = 120  # characters kept of the last line of a failed run's output
LAST_RUNS = 20  # runs of each job whose result and duration are kept; of failures in a row twice as many

_OBSERVED_EVENTS = frozenset({"run.attempt_failed", "job.removed"})


@dataclass(frozen=True, slots=True)
class JobStats:
    """The outcomes of one job's slots: a count of each status, the last success, and the last record.

    `is_failing` is whether the last run failed; None before any run has ended. Skipped and missed slots do not count.
    `cpu` is the processor time of its commands together, in seconds; None before one has ended.
    """

    last: Record
    success: datetime | None
    is_failing: bool | None
    counts: Mapping[Status, int]
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class RecentRuns:
    """A job's last record, the last line of the output that it has, and the usual duration of a success in seconds.

    `usual` is the median of those among the last `LAST_RUNS`, None without any.
    """

    last: Record
    last_line: str | None
    usual: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The outcomes of all jobs' slots together, including those of deleted jobs."""

    counts: Mapping[Status, int]
    attempts_failed: int
    duration: Histogram
    lateness: Histogram
    latency: Histogram


@dataclass(frozen=True, slots=True)
class Records:
    """Records from the log, newest first, as in JSON log lines; in a text log all values are text.

    Since `since` no record is missing; None if the log has no others. `is_complete` is false if older ones may exist.
    """

    lines: Sequence[Mapping[str, Any]]
    since: datetime | None = None
    is_complete: bool = True


class RunStats:
    """Count the outcomes of slots. `observe` and `restore` never raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _JobCounters] = {}
        self._counts: Counter[Status] = Counter()
        self._attempts_failed = 0
        self._duration = HistogramBuilder(DURATION)
        self._lateness = HistogramBuilder(LATENESS)
        self._latency = HistogramBuilder(LATENCY)

    def observe(self, entry: LogEntry) -> None:
        """Count a record or a failed attempt, and forget a job that was removed; ignore any other event.

        Lateness is from the slot to the start of its run, so for a job with `jitter` it includes the jitter.
        """
        if isinstance(entry, Event) and entry.name not in _OBSERVED_EVENTS:
            return
        try:
            with self._lock:
                self._observe(entry)
        except Exception:  # the caller holds a lock, and its own work matters more
            return

    def _observe(self, entry: LogEntry) -> None:
        if isinstance(entry, Event):
            if entry.name == "job.removed":
                self._jobs.pop(str(dict(entry.values)["job_id"]), None)
            else:
                self._attempts_failed += 1
            return
        slots = _slots_of(entry)
        self._note(entry, slots).add_cpu(entry.cpu)
        self._counts[entry.status] += slots
        if is_correction(entry):
            self._counts[Status.MISSED] = max(0, self._counts[Status.MISSED] - 1)
        if entry.duration is not None:
            self._duration.add(entry.duration)
        if entry.started is not None and entry.scheduled is not None:
            self._lateness.add(max(0.0, (entry.started - entry.scheduled).total_seconds()))

    def restore(self, record: Record) -> None:
        """Take a record from before this start as a job's last one; do not count it.

        Call it with the oldest first.
        """
        with suppress(Exception), self._lock:  # a record that cannot be counted must not end a start
            self._note(record, 0)

    def observe_latency(self, seconds: float) -> None:
        """Count the seconds from the change of a file to its job being active."""
        with self._lock:
            self._latency.add(seconds)

    def last_record(self, job_id: str) -> Record | None:
        """Return a job's last record, without its output, which only the log has."""
        with self._lock:
            counters = self._jobs.get(job_id)
            return counters.last if counters else None

    def recent_runs(self, job_id: str) -> RecentRuns | None:
        """Return what is known of a job's last runs; None without any record. It is the same object until the next."""
        counters = self._jobs.get(job_id)
        if counters is None or (known := counters.recent) is not None:
            return None if counters is None else known
        with self._lock:
            return counters.recent_runs()

    def last_runs(self, job_id: str) -> list[tuple[Status, float]]:
        """Return the results and durations in seconds of a job's last runs since the start, the oldest first."""
        with self._lock:
            counters = self._jobs.get(job_id)
            return counters.last_runs() if counters else []

    def last_success(self, job_id: str) -> datetime | None:
        """Return the time of a job's last success, None if none is known."""
        with self._lock:
            counters = self._jobs.get(job_id)
            return counters.success if counters else None

    def job(self, job_id: str) -> JobStats | None:
        """Return the outcomes of one job's slots, None if no slot has a record."""
        with self._lock:
            counters = self._jobs.get(job_id)
            return counters.value() if counters else None

    def totals(self) -> Totals:
        """Return the outcomes of all slots together."""
        with self._lock:
            histograms = (builder.value() for builder in (self._duration, self._lateness, self._latency))
            counts = {status: self._counts[status] for status in Status}
            return Totals(counts, self._attempts_failed, *histograms)

    def _note(self, record: Record, slots: int) -> _JobCounters:
        counters = self._jobs.get(record.job_id)
        if counters is None:
            counters = self._jobs[record.job_id] = _JobCounters(record)
        counters.note(record, slots)
        return counters


def is_correction(record: Record) -> bool:
    """Return whether a record corrects one that said `MISSED` while the clock was wrong."""
    return ("corrects", "clock") in record.details


def _slots_of(record: Record) -> int:
    """Return how many slots a record is about: after an outage it may sum up several; a manual run has none."""
    if record.scheduled is None:
        return 0
    if record.status in {Status.SUCCESS, Status.FAILURE}:
        return 1
    count = dict(record.details).get("count", 1)
    return count if isinstance(count, int) else 1


class _JobCounters:
    """The counters of one job. There are thousands of them, so they are small: a table of counts would add a tenth."""

    __slots__ = (
        "cpu",
        "failures",
        "is_failing",
        "last",
        "last_line",
        "missed",
        "recent",
        "runs",
        "skipped",
        "success",
        "successes",
    )

    def __init__(self, record: Record) -> None:
        self.last = record
        self.last_line: str | None = None
        self.recent: RecentRuns | None = None  # what was last answered; None after a further record
        self.runs: array[float] | None = None  # their durations; of a failed one its negative, less one
        self.success: datetime | None = None
        self.is_failing: bool | None = None
        self.cpu: float | None = None
        self.successes = self.failures = self.skipped = self.missed = 0

    def note(self, record: Record, slots: int) -> None:
        """Take a record as the last one, and count its slots."""
        self.last, self.last_line, self.recent = _small(record), last_line_of(record.output), None
        if slots and is_correction(record):
            self.missed = max(0, self.missed - 1)
        if record.duration is not None:
            self._add_run(record.duration, is_success=record.status is Status.SUCCESS)
        match record.status:
            case Status.SUCCESS:
                self.success, self.is_failing = record.at, False
                self.successes += slots
            case Status.FAILURE:
                self.is_failing = True
                self.failures += slots
            case Status.SKIPPED:
                self.skipped += slots
            case Status.MISSED:
                self.missed += slots

    def add_cpu(self, seconds: float | None) -> None:
        """Add the processor time of a run, None if it is not known."""
        if seconds is not None:
            self.cpu = (self.cpu or 0.0) + seconds

    def _add_run(self, seconds: float, *, is_success: bool) -> None:
        if self.runs is None:
            self.runs = array("f")
        self.runs.append(seconds if is_success else -1.0 - seconds)
        del self.runs[: -LAST_RUNS if is_success else -2 * LAST_RUNS]

    def last_runs(self) -> list[tuple[Status, float]]:
        """Return the results and durations of the last runs, the oldest first."""
        return [
            (Status.SUCCESS, run) if run >= 0 else (Status.FAILURE, -1.0 - run)
            for run in (self.runs or ())[-LAST_RUNS:]
        ]

    def recent_runs(self) -> RecentRuns:
        """Return the last record, its last line and the usual duration: the same object until the next record."""
        if self.recent is None:
            succeeded = [seconds for seconds in self.runs or () if seconds >= 0]
            usual = round(median(succeeded), 3) if succeeded else None
            self.recent = RecentRuns(self.last, self.last_line, usual)
        return self.recent

    def value(self) -> JobStats:
        """Return a frozen copy."""
        counts = (self.successes, self.failures, self.skipped, self.missed)
        return JobStats(self.last, self.success, self.is_failing, dict(zip(Status, counts, strict=True)), self.cpu)


def _small(record: Record) -> Record:
    """Return a record without its output, which is long and in the log anyway."""
    return record if record.output is None else replace(record, output=None)


def last_line_of(output: str | None) -> str | None:
    """Return the last line of an output that is not blank, cut."""
    if not output:
        return None
    lines = output.rstrip().rsplit("\n", 1)
    return lines[-1].strip()[:MAX_LAST_LINE_CHARS] or None
