"""A job and its parts: what to do, when, how long it may take, what happens after a failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

Fingerprint = tuple[int, ...] | None  # state of a source's item without reading it; equal means equal content


def name_sort_key(name: str) -> str:
    """Return the sort key of an item: its name without `.json`, so that `hello.json` precedes `hello-old.json`.

    Of two files with one id, the first in this order keeps it at a start. A copy beside the file usually has something
    appended to its name.
    """
    return name.removesuffix(".json")


SLOT_FIELDS = ("catch_up", "jitter", "not_before", "not_after")  # of a job file; they mean nothing with `@manual`
AT_BOOT, MANUAL = "@reboot", "@manual"  # the macros whose jobs have no slots in a timetable


@dataclass(frozen=True, slots=True)
class Cron:
    """A repeating schedule: a crontab expression or macro, read in the wall-clock time of an IANA zone."""

    expression: str
    timezone: str

    @property
    def is_manual(self) -> bool:
        """Whether it is `@manual`: never due by itself."""
        return self.expression == MANUAL

    @property
    def is_at_boot(self) -> bool:
        """Whether it is `@reboot`: due once after each boot of the host."""
        return self.expression == AT_BOOT


@dataclass(frozen=True, slots=True)
class Once:
    """A one-time schedule: an instant in UTC; `text` is how the user wrote it."""

    at: datetime
    text: str = field(default="", compare=False)


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # the core of `json.loads`, for a text that is exactly one JSON value


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What to do: the name of a task type, and that type's parameters as canonical JSON.

    The text, not a dict, because equality is the change test and in Python `1 == True == 1.0`.
    """

    type: str
    params_json: str

    @classmethod
    def from_params(cls, type_: str, params: Mapping[str, Any]) -> TaskSpec:
        """Build a spec from the task's parameters (without `type`)."""
        return cls(type_, _encode(params))

    @property
    def params(self) -> dict[str, Any]:
        """The task's parameters, a fresh dict each time."""
        decoded: dict[str, Any] = _decode(self.params_json)[0]
        return decoded


NO_TASK = TaskSpec("", "{}")  # `null` in a definition: do nothing, where leaving the field out means the default


MAX_DELAY = 600.0  # seconds; default of `max_delay`, unless `delay` itself is longer


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts after a failed one: `attempts` in all, the first one included.

    The pause after the first failure is `delay` seconds. It grows by the factor `backoff`, up to `max_delay` seconds.
    """

    attempts: int
    delay: float = 30.0
    backoff: float = 2.0
    max_delay: float = MAX_DELAY

    def delay_after(self, attempt: int) -> float | None:
        """Return the seconds to wait after attempt number `attempt` (from 1) has failed; None after the last one."""
        if attempt >= self.attempts:
            return None
        try:
            return min(self.delay * self.backoff ** (attempt - 1), self.max_delay)
        except OverflowError:
            return self.max_delay


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When the alert about a failure is sent: after `after` failures in a row, and again each `remind` seconds.

    No `remind` means no reminder. With `missed` a MISSED record counts as a failure.
    """

    after: int = 1
    remind: float | None = None
    missed: bool = False


EVERY_CHANGE = AlertRule()  # the rule of a job that says nothing about its alerts


@dataclass(frozen=True, slots=True)
class Limits:
    """What all processes of a run may have together: `memory` in bytes, `cpu` in processors (0.5: half of one).

    `processes` counts threads, too. None is no limit.
    """

    memory: int | None = None
    cpu: float | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One valid definition: its schedule can be computed, its task type is known and accepts its fields.

    Durations are seconds. `timeout` bounds each attempt. `overlap` (`skip`, `queue`, `replace`, `allow`) decides about
    a slot while the last run is still active. `on_failure` and `on_recovery` are the tasks for a result that changes;
    None means the service's default, `NO_TASK` nothing. `alert` says which failures are a change.
    After `success_within` seconds without a success the job is overdue.
    `tags` are words to select the job by, sorted. `limits` are those of a run's control group.
    `source_name` is the name of the source item (a file name), `modified_at` its time of modification. They are not
    part of the definition: moving a file does not change the job.
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
    tags: tuple[str, ...] = ()
    success_within: float | None = None
    alert: AlertRule = EVERY_CHANGE
    limits: Limits | None = None
    source_name: str = field(default="", compare=False)
    modified_at: datetime | None = field(default=None, compare=False)

    def changed_fields(self, other: Job) -> tuple[str, ...]:
        """Return the names of the fields, as in a job file, in which two versions of a definition differ."""
        changed = [f.name for f in fields(self) if f.compare and getattr(self, f.name) != getattr(other, f.name)]
        if isinstance(self.schedule, Cron) and isinstance(other.schedule, Cron) and "schedule" in changed:
            parts = {"schedule": "expression", "timezone": "timezone"}
            at = changed.index("schedule")
            changed[at : at + 1] = [
                name for name, part in parts.items() if getattr(self.schedule, part) != getattr(other.schedule, part)
            ]
        return tuple(changed)
