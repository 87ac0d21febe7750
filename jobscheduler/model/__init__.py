"""The values that every room shares: frozen, compared by content, no I/O.

A job is one definition; a slot is one nominal instant at which a job is due; a run is what a slot leads to, with
one or more attempts; a record is the one final line about a slot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier than any slot that is of interest."""

LogValue = str | int | float | bool | datetime
"""What a log line may carry: rendered by `runlog`, so nobody else needs to escape anything."""

Fingerprint = tuple[int, ...] | None
"""What tells one state of a source's item from another without reading it; equal signatures mean equal content."""


def name_sort_key(name: str) -> str:
    """Give what items are put in order by: the name without `.json`, so `hello.json` is before `hello-old.json`.

    Of two files with one id the first in this order has it at a start, and a copy that somebody keeps beside the file
    usually has something appended to its name.
    """
    return name.removesuffix(".json")


def truncate_to_ms(at: datetime) -> datetime:
    """Cut an instant to whole milliseconds: the log tells no more of it, and a slot has to be known from there."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Cron:
    """A repeating schedule: a crontab expression or macro, read in the wall-clock time of an IANA zone."""

    expression: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Once:
    """A one-time schedule: an instant in UTC; `text` is how the user wrote it."""

    at: datetime
    text: str = field(default="", compare=False)


_decode = json.JSONDecoder().raw_decode  # what `json.loads` comes to, for a text that is JSON and nothing else


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What to do: the name of a task type and that type's own fields as canonical JSON.

    The text, not a dict, because equality is the change test and in Python `1 == True == 1.0`.
    """

    type: str
    params_json: str

    @classmethod
    def from_params(cls, type_: str, own: Mapping[str, Any]) -> TaskSpec:
        """Build one from the task's own fields (without `type`)."""
        return cls(type_, json.dumps(own, sort_keys=True, ensure_ascii=True, separators=(",", ":")))

    @property
    def params(self) -> dict[str, Any]:
        """The task's own fields, a fresh dict each time."""
        decoded: dict[str, Any] = _decode(self.params_json)[0]
        return decoded


NO_TASK = TaskSpec("", "{}")
"""Nothing to do, said expressly: what `null` means where a definition may also leave a task to the service."""


MAX_DELAY = 600.0
"""The longest pause between two attempts if nothing else is said, in seconds; a longer `delay` is the longest then."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts after a failed one: `attempts` in all, the first one included.

    The pause after the first failure is `delay` seconds and grows by the factor `backoff` up to `max_delay` seconds.
    """

    attempts: int
    delay: float = 30.0
    backoff: float = 2.0
    max_delay: float = MAX_DELAY

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) has failed; None when it was the last one."""
        if attempt >= self.attempts:
            return None
        try:
            return min(self.delay * self.backoff ** (attempt - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


@dataclass(frozen=True, slots=True)
class Job:
    """One valid definition: its schedule can be computed, its task type is known and accepts its fields.

    Durations are seconds. `timeout` bounds each attempt; `overlap` (`skip`, `queue`, `replace`, `allow`) says what
    becomes of a slot while the last run is still going on. `on_failure` and `on_recovery` are what is done when the
    result changes; None leaves it to the service, `NO_TASK` is nothing. `origin` is the name of the source item (a
    file name) and `written` when that was put there; they are no part of the definition: moving a file is not a change
    of the job.
    """

    id: str
    schedule: Cron | Once
    task: TaskSpec
    description: str = ""
    enabled: bool = True
    timeout: float | None = None
    overlap: str = "skip"
    retry: Retry | None = None
    catch_up: float = 60.0
    jitter: float = 0.0
    not_before: datetime | None = None
    not_after: datetime | None = None
    on_failure: TaskSpec | None = None
    on_recovery: TaskSpec | None = None
    source_name: str = field(default="", compare=False)
    modified_at: datetime | None = field(default=None, compare=False)

    def changed_fields(self, other: Job) -> tuple[str, ...]:
        """Names of the fields, as in a job file, in which two versions of a definition differ."""
        changed = [f.name for f in fields(self) if f.compare and getattr(self, f.name) != getattr(other, f.name)]
        if isinstance(self.schedule, Cron) and isinstance(other.schedule, Cron) and "schedule" in changed:
            parts = {"schedule": "expression", "timezone": "timezone"}
            at = changed.index("schedule")
            changed[at : at + 1] = [
                name for name, part in parts.items() if getattr(self.schedule, part) != getattr(other.schedule, part)
            ]
        return tuple(changed)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with an input, as shown to its author: what, where, note, help; only the help suggests.

    `line` and `column` count from 1, columns in characters; `excerpt` is the offending line (cut if long), and of
    it the `width` characters from `caret` (which counts from 0) are meant. `host` marks a finding that depends on
    this host or user (an unknown user, a missing extra, an untrusted mode) and not on the text alone: it is judged
    again when nothing was edited.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    caret: int = 0
    width: int = 1
    notes: tuple[str, ...] = ()
    help: str | None = None
    host_dependent: bool = False


_KEY = re.compile(r"[a-z0-9_]{1,40}")
_NO_KEY = re.compile(r"[^a-z0-9_]+")


@lru_cache(maxsize=1024)
def log_key(text: str) -> str:
    """`text` as the key of a pair in a log line, where a blank or a line's end would forge what follows it."""
    return text if _KEY.fullmatch(text) else _NO_KEY.sub("_", text.lower())[:40] or "_"


class Status(StrEnum):
    """How a slot ended."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Record:
    """The one final line about a slot (or about a run by hand, which has `scheduled=None`).

    `at` is when it was decided; `duration` is seconds; `details` are the task's own findings, such as `exit_code`;
    `output` is the end of what a failed task printed. `job` is the definition that a run began with: it says whose
    alerts are given, whatever has become of the file; None where there was no run, or where it is not known.
    """

    at: datetime
    status: Status
    job_id: str
    run_id: str | None = None
    scheduled: datetime | None = None
    started: datetime | None = None
    duration: float | None = None
    reason: str | None = None
    details: tuple[tuple[str, LogValue], ...] = ()
    output: str | None = None
    job: Job | None = field(default=None, compare=False, repr=False)

    def fields(self) -> Iterator[tuple[str, LogValue]]:
        """List the keys and values of the line, in its order; what is unknown is left out."""
        reason = (("reason", self.reason),)
        known = (
            ("job_id", self.job_id),
            ("run_id", self.run_id),
            ("scheduled", self.scheduled),
            ("started", self.started),
            ("duration", self.duration),
            *((*self.details, *reason) if self.status is Status.MISSED else (*reason, *self.details)),
            ("output", self.output),
        )
        return ((key, value) for key, value in known if value is not None)


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
    values: tuple[tuple[str, LogValue], ...] = ()

    def fields(self) -> Iterator[tuple[str, LogValue]]:
        """List the keys and values of the line, in its order."""
        return iter(self.values)


LogEntry = Record | Event
"""One line of the log."""


class EventLogger(Protocol):
    """Writes an event to the log, with the present time; values that are None are left out."""

    def __call__(self, level: Level, name: str, /, **values: LogValue | None) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class InFlightRun:
    """A run that has begun and has no record yet.

    One by hand has no slot (`scheduled` None) but somebody who asked (`by`), and perhaps waits still (`started` None).
    `trigger` says what asked for it: `manual`, or `run:RUN_ID` where another run did.
    """

    job_id: str
    run_id: str
    scheduled: datetime | None
    started: datetime | None
    trigger_note: str = ""
    trigger: str = "manual"


PendingSlot = tuple[str, datetime]
"""A slot (job id, nominal instant) that was decided to run and has not begun: it waits for a worker or for its turn."""


TimeSpans = tuple[tuple[datetime, datetime], ...]
"""Stretches of time, each from its first to its last instant, both inclusive."""


@dataclass(frozen=True, slots=True)
class FullCheckpoint:
    """What a full checkpoint says besides the mark that it comes with.

    `hashes` are those of every definition that had slots. Each job's slots are decided from `since` on, from `floor`
    where that is not told. For jobs whose clock was set: slots later than the mark that are decided all the same
    (`over`), those that only a wrong clock missed and that may run (`again`), and those (`missed`) that would come to
    be such if the clock were set back within so many seconds. `host` is empty if the host cannot be told.
    """

    host: str = ""
    accounted_since: datetime = EPOCH
    hashes: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    decided_ahead: Mapping[str, TimeSpans] = field(default_factory=dict)
    reopened: Mapping[str, TimeSpans] = field(default_factory=dict)
    missed: Mapping[str, tuple[tuple[datetime, datetime, float], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point up to which the log is a full account: every slot up to `settled` has its record, is in `begun` or waits.

    Of the jobs in `late` that holds only up to the instant that stands with them: their next slot was due and not yet
    decided. No slot is decided that is later than `ahead` (None: than `settled`), which a clock that was set back has
    yet to pass. `boot` tells one boot of the host from another, and `up` is for how many seconds that has lasted.
    `corrects` are slots in `begun` and `waits` that a wrong clock had missed before. `full` is there in a full
    checkpoint.
    """

    settled: datetime
    boot: str = ""
    in_flight: tuple[InFlightRun, ...] = ()
    pending: tuple[PendingSlot, ...] = ()
    lagging: tuple[PendingSlot, ...] = ()
    corrects: tuple[PendingSlot, ...] = ()
    clock_ahead: datetime | None = None
    uptime: float | None = None
    full: FullCheckpoint | None = None


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """What the log says of the time before: its last mark, and what became of slots since.

    `until` is the time of the last line, `stopped` whether the service stopped in order. `begun` are the runs that
    were going on at the end; `accounted` are, for each job, the slots since the mark that need nothing more, as
    ranges (first and last, both inclusive). `decided` tells the latest slot of a job that is later than an instant and
    was decided, None if there is none; it raises LookupError if the log does not reach back so far.
    `full` is the last full checkpoint, with what the log says since: `missed` counts from the last mark. None if there
    is none, as in the log of a former version. `told` is when the last mark was written, by the clock of then,
    `drained` the time in which the service was stopping. `names` tells whether a word occurs anywhere in the log.
    """

    checkpoint: Checkpoint
    last_line_at: datetime
    clean_stop: bool
    in_flight: tuple[InFlightRun, ...] = ()
    pending: tuple[PendingSlot, ...] = ()
    recorded: Mapping[str, tuple[tuple[datetime, datetime], ...]] = field(default_factory=dict)
    last_decided_slot: Callable[[str, datetime], datetime | None] | None = field(default=None, compare=False)
    full: FullCheckpoint | None = None
    reported: datetime | None = None
    drain_began_at: tuple[datetime, datetime] | None = None
    job_ids: Callable[[str], bool] | None = field(default=None, compare=False)
