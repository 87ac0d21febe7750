"""The lines of the log: records, each the final line about a slot or a run, and events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, Self

from jobscheduler.model.jobs import Job

LogValue = str | int | float | bool | datetime  # a value in a log line; `runlog` formats and escapes it
LogFields = tuple[tuple[str, LogValue], ...]  # keys and values of a log line, in order


_KEY = re.compile(r"[a-z0-9_]{1,40}")
_NO_KEY = re.compile(r"[^a-z0-9_]+")


@lru_cache(maxsize=1024)
def log_key(text: str) -> str:
    """Return `text` as a key of a log line, without the blanks and line ends that would forge further fields."""
    return text if _KEY.fullmatch(text) else _NO_KEY.sub("_", text.lower())[:40] or "_"


class Status(StrEnum):
    """How a slot ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Record:
    """The one final line about a slot (or about a manual run, which has `scheduled=None`).

    `at` is when it was decided; `duration` is seconds; `details` are the task's own findings, such as `exit_code`;
    `output` is the end of the output of a failed task. `cpu` (seconds) and `max_rss` (bytes) are what a command has
    used, as in `ResourceUse`, all attempts together; None if that is not known. `job` is the definition that the run
    began with: its alerts apply, even if the file has changed since. It is None if there was no run, or if it is
    unknown.
    """

    at: datetime
    status: Status
    job_id: str
    run_id: str | None = None
    scheduled: datetime | None = None
    started: datetime | None = None
    duration: float | None = None
    reason: str | None = None
    details: LogFields = ()
    output: str | None = None
    cpu: float | None = None
    max_rss: int | None = None
    job: Job | None = field(default=None, compare=False, repr=False)

    def fields(self) -> Iterable[tuple[str, LogValue]]:
        """Return the keys and values of the line, in its order, without the unknown ones."""
        reason = (("reason", self.reason),)
        columns = (
            ("job_id", self.job_id),
            ("run_id", self.run_id),
            ("scheduled", self.scheduled),
            ("started", self.started),
            ("duration", self.duration),
            *((*self.details, *reason) if self.status is Status.MISSED else (*reason, *self.details)),
            ("cpu", self.cpu),
            ("max_rss", self.max_rss),
            ("output", self.output),
        )
        return [(key, value) for key, value in columns if value is not None]


class Level(StrEnum):
    """How much an event matters."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the log that is not about the end of a slot: a stable name, then keys and values."""

    at: datetime
    level: Level
    name: str
    values: LogFields = ()

    @classmethod
    def of(cls, at: datetime, level: Level, name: str, /, **values: LogValue | None) -> Self:
        """Return an event with these values, without those that are None."""
        return cls(at, level, name, tuple((key, value) for key, value in values.items() if value is not None))

    def fields(self) -> Iterable[tuple[str, LogValue]]:
        """Return the keys and values of the line, in its order."""
        return self.values


LogEntry = Record | Event  # one line of the log


class EventLogger(Protocol):
    """Writes an event to the log, with the present time; values that are None are left out."""

    def __call__(self, level: Level, name: str, /, **values: LogValue | None) -> None: ...  # noqa: D102
