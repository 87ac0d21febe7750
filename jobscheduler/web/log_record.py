"""Convert records of the log back to values: the pages look further back than the service remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobscheduler.model import Status
from jobscheduler.model.corrections import Corrections, describe_corrections
from jobscheduler.model.log_line import parse_instant, parse_record


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One record of the log. `count` is how many slots it is about, `last` the last of them; `duration` is seconds.

    `corrected` of these slots have a later record that counts instead: only a wrong clock had missed them.

    `cpu` is the processor time of a command in seconds, `max_rss` its memory in bytes; None if unknown.
    `details` are the task's own details and all other keys of the line.
    """

    at: datetime
    status: Status
    job_id: str
    run_id: str | None = None
    scheduled: datetime | None = None
    started: datetime | None = None
    duration: float | None = None
    reason: str | None = None
    last: datetime | None = None
    count: int = 1
    output: str | None = None
    details: tuple[tuple[str, str], ...] = ()
    corrected: int = 0
    cpu: float | None = None
    max_rss: int | None = None

    @property
    def begin(self) -> datetime:
        """When the run began; without a run, the slot."""
        return self.started or self.scheduled or self.at

    @property
    def end(self) -> datetime:
        """When the run ended; without a run, the last of several slots."""
        if self.started is None:
            return self.last or self.begin
        return self.started + timedelta(seconds=self.duration or 0.0)

    @property
    def lateness(self) -> float | None:
        """Seconds from the slot to the start of its run, None without a run or a slot."""
        if self.started is None or self.scheduled is None:
            return None
        return max(0.0, (self.started - self.scheduled).total_seconds())


def parse_records(records: Iterable[Mapping[str, Any]]) -> list[LoggedRun]:
    """Convert records to values; leave out lines that are malformed or were truncated."""
    runs, lines = [], list(records)
    corrections = Corrections(lines)
    for line in lines:
        with suppress(KeyError, ValueError, TypeError, OverflowError):
            runs.append(_parse(line, corrections.count(line)))
    return runs


def latest(records: Iterable[LoggedRun]) -> list[LoggedRun]:
    """Leave out records all of whose slots have a later one: each slot counts once."""
    return [record for record in records if record.corrected < record.count]


def _parse(line: Mapping[str, Any], corrected: int) -> LoggedRun:
    record = parse_record(line, with_output=True)
    count = max(1, int(line.get("count") or 1))
    note = (("corrected", describe_corrections(corrected, count).partition(": ")[2]),) if corrected else ()
    return LoggedRun(
        at=record.at,
        status=record.status,
        job_id=record.job_id,
        run_id=record.run_id,
        scheduled=record.scheduled,
        started=record.started,
        duration=record.duration,
        reason=record.reason,
        last=parse_instant(line, "last"),
        count=count,
        corrected=corrected,
        output=record.output,
        cpu=record.cpu,
        max_rss=record.max_rss,
        details=(*note, *((key, str(value)) for key, value in record.details if key not in {"last", "count"})),
    )
