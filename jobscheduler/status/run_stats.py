"""What has become of runs since the service started: for each job in force, and summed up for all of them.

`take` gets every line as it is written, often under somebody's lock: it only counts. Everything else may be asked
from any thread. Nothing here is kept over a restart; that is what the log is for.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jobscheduler.model import Event, LogEntry, LogValue, Record, Status

DURATION = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Upper bounds of the classes in which durations of runs are counted, in seconds."""

LATENESS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the classes in which the lateness of runs is counted, in seconds."""

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Upper bounds of the classes in which the time from a file's change to its being in force is counted, in seconds."""

_OBSERVED_EVENTS = frozenset({"run.attempt_failed", "job.removed"})

Pairs = tuple[tuple[str, LogValue], ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a quantity was spread: `counts` has one number for each class and one for what is beyond the last bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class JobStats:
    """What has become of one job's slots: how many had each status, when it last succeeded, and its last record.

    `is_failing` is whether the last run of all failed; None while none has ended. A slot that was skipped or missed
    changes nothing about that.
    """

    last: Record
    success: datetime | None
    is_failing: bool | None
    counts: Mapping[Status, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """What has become of all jobs' slots together, also of jobs that are gone by now."""

    counts: Mapping[Status, int]
    attempts_failed: int
    duration: Histogram
    lateness: Histogram
    latency: Histogram


@dataclass(frozen=True, slots=True)
class Records:
    """Records from the log, newest first, as in JSON log lines; values may be text, as in a text log.

    `since` is from when on none is missing, None if the log has no others. `is_whole` is false if there may be older
    ones that were not looked for.
    """

    lines: Sequence[Mapping[str, Any]]
    since: datetime | None = None
    is_complete: bool = True


class RunStats:
    """Counts what has become of slots. `take` and `took` never raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, _JobCounters] = {}
        self._counts: Counter[Status] = Counter()
        self._attempts_failed = 0
        self._duration = _HistogramBuilder(DURATION)
        self._lateness = _HistogramBuilder(LATENESS)
        self._latency = _HistogramBuilder(LATENCY)

    def observe(self, entry: LogEntry) -> None:
        """Count a record or a failed attempt, and forget a job that was removed; ignore any other event.

        Lateness is from the slot to the start of its run, so that for a job with `jitter` it includes the jitter.
        """
        if isinstance(entry, Event) and entry.name not in _OBSERVED_EVENTS:
            return
        try:
            with self._lock:
                self._observe(entry)
        except Exception:  # the caller holds a lock, and has more important things to do
            return

    def _observe(self, entry: LogEntry) -> None:
        if isinstance(entry, Event):
            if entry.name == "job.removed":
                self._jobs.pop(str(dict(entry.values)["job_id"]), None)
            else:
                self._attempts_failed += 1
            return
        slots = _slots_of(entry)
        self._note(entry, slots)
        self._counts[entry.status] += slots
        if is_correction(entry):
            self._counts[Status.MISSED] = max(0, self._counts[Status.MISSED] - 1)
        if entry.duration is not None:
            self._duration.add(entry.duration)
        if entry.started is not None and entry.scheduled is not None:
            self._lateness.add(max(0.0, (entry.started - entry.scheduled).total_seconds()))

    def restore(self, record: Record) -> None:
        """Take a record of the time before this start as a job's last; it is not counted. To be told oldest first."""
        with suppress(Exception), self._lock:
            self._note(record, 0)

    def observe_latency(self, seconds: float) -> None:
        """Count how long it took from the change of a file to its being in force."""
        with self._lock:
            self._latency.add(seconds)

    def last_record(self, job_id: str) -> Record | None:
        """Return a job's last record; its output is not kept here, but in the log."""
        with self._lock:
            found = self._jobs.get(job_id)
            return found.last if found else None

    def job(self, job_id: str) -> JobStats | None:
        """Return what has become of one job's slots, None if none has a record."""
        with self._lock:
            found = self._jobs.get(job_id)
            return found.value() if found else None

    def all_jobs(self) -> dict[str, JobStats]:
        """Return what has become of the slots of each job that has a record."""
        with self._lock:
            found = list(self._jobs.items())
        return {job_id: one.value() for job_id, one in found}

    def totals(self) -> Totals:
        """Return what has become of all slots together."""
        with self._lock:
            spreads = (one.value() for one in (self._duration, self._lateness, self._latency))
            counts = {status: self._counts[status] for status in Status}
            return Totals(counts, self._attempts_failed, *spreads)

    def _note(self, record: Record, slots: int) -> None:
        found = self._jobs.get(record.job_id)
        if found is None:
            found = self._jobs[record.job_id] = _JobCounters(record)
        found.note(record, slots)


def is_correction(record: Record) -> bool:
    """Tell whether a record takes the place of one that said `MISSED` while the clock was wrong."""
    return ("corrects", "clock") in record.details


def _slots_of(record: Record) -> int:
    """How many slots a record is about: a `MISSED` may sum up several, and a run by hand is none."""
    if record.scheduled is None:
        return 0
    if record.status is not Status.MISSED:
        return 1
    count = dict(record.details).get("count", 1)
    return count if isinstance(count, int) else 1


class _JobCounters:
    """What is kept of one job. There are thousands of them, so they are made small."""

    __slots__ = ("failures", "is_failing", "last", "missed", "skipped", "success", "successes")

    def __init__(self, record: Record) -> None:
        self.last = record
        self.success: datetime | None = None
        self.is_failing: bool | None = None
        self.successes = self.failures = self.skipped = self.missed = 0

    def note(self, record: Record, slots: int) -> None:
        """Take a record as the last one."""
        self.last = _small(record)
        if slots and is_correction(record):
            self.missed = max(0, self.missed - 1)
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

    def value(self) -> JobStats:
        """Return it for others to keep."""
        counts = (self.successes, self.failures, self.skipped, self.missed)
        return JobStats(self.last, self.success, self.is_failing, dict(zip(Status, counts, strict=True)))


class _HistogramBuilder:
    """A quantity, counted in classes."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value; one that equals a bound is within it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def value(self) -> Histogram:
        """Return it for others to keep."""
        return Histogram(self._bounds, tuple(self._counts), self._sum)


def _small(one: Record) -> Record:
    """Give a record without its output, which is long, and stands in the log."""
    return one if one.output is None else replace(one, output=None)
