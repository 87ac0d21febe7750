"""Records as the log tells them, made values again: the page looks further back than the service remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobscheduler.model import Status
from jobscheduler.model.corrections import Corrections, describe_corrections

_KNOWN = frozenset({"time", "status", "word", "level", "job_id", "run_id", "scheduled", "started", "duration"})
_KNOWN_FIELDS = frozenset({"reason", "last", "count", "output"})


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One record of the log. `count` is how many slots it is about, `last` the last of them; `duration` is seconds.

    `corrected` of them have a later record, which counts, because only a wrong clock had missed them.

    `details` are the task's own findings and whatever else stands in the line.
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

    @property
    def begin(self) -> datetime:
        """When it began: the run if there was one, else the slot."""
        return self.started or self.scheduled or self.at

    @property
    def end(self) -> datetime:
        """When it was over: the run, or the last slot of several."""
        if self.started is None:
            return self.last or self.begin
        return self.started + timedelta(seconds=self.duration or 0.0)

    @property
    def lateness(self) -> float | None:
        """Seconds from the slot to the start of its run, None if there was no run or no slot."""
        if self.started is None or self.scheduled is None:
            return None
        return max(0.0, (self.started - self.scheduled).total_seconds())


def parse_records(records: Iterable[Mapping[str, Any]]) -> list[LoggedRun]:
    """Make values of records; what is none, or was cut short, is left out."""
    found, lines = [], list(records)
    corrections = Corrections(lines)
    for one in lines:
        with suppress(KeyError, ValueError, TypeError, OverflowError):
            found.append(_parse(one, corrections.count(one)))
    return found


def latest(records: Iterable[LoggedRun]) -> list[LoggedRun]:
    """Leave out records all of whose slots have a later one: a slot counts once."""
    return [one for one in records if one.corrected < one.count]


def _parse(one: Mapping[str, Any], corrected: int) -> LoggedRun:
    count = max(1, int(one.get("count") or 1))
    note = (("corrected", describe_corrections(corrected, count).partition(": ")[2]),) if corrected else ()
    return LoggedRun(
        at=_instant(one["time"]),
        status=Status(one["status"]),
        job_id=str(one["job_id"]),
        run_id=_text(one.get("run_id")),
        scheduled=_optional(one.get("scheduled")),
        started=_optional(one.get("started")),
        duration=None if one.get("duration") is None else float(one["duration"]),
        reason=_text(one.get("reason")),
        last=_optional(one.get("last")),
        count=count,
        corrected=corrected,
        output=_text(one.get("output")),
        details=(*note, *((key, str(value)) for key, value in one.items() if key not in _KNOWN | _KNOWN_FIELDS)),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _optional(value: object) -> datetime | None:
    return None if value is None else _instant(value)


def _instant(value: object) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if found.tzinfo is None:
        raise ValueError("an instant without its zone was cut short")
    return found
