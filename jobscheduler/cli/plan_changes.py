"""What `plan` shows of a preview: each change of a job, each refused file, and notes; as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobscheduler.cli.problems import problem_json
from jobscheduler.jobs.catalog import ItemState, ItemStatus
from jobscheduler.jobs.preview import Preview
from jobscheduler.model import Job, Problem
from jobscheduler.status.snapshot_json import definition_json, instant
from jobscheduler.timetable.timetable import timetable_of
from jobscheduler.timetable.timezones import UnknownTimezone
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_local_short
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import truncate

NEW, CHANGED, EXPIRED, REMOVED = "new", "changed", "expired", "removed"

_MARKS = {NEW: "+", CHANGED: "~", EXPIRED: "x", REMOVED: "-"}
_DURATIONS = frozenset({"timeout", "catch_up", "jitter", "success_within"})
_TASKS = ("task", "on_failure", "on_recovery")
_MAX_VALUE_CHARS = 60


@dataclass(frozen=True, slots=True)
class JobChange:
    """A change of one job: which fields, from what to what, and its next slot before and after."""

    kind: str
    job_id: str
    file: str
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    schedule: str | None = None
    next_before: datetime | None = None
    next_after: datetime | None = None

    @property
    def shorter_timeout(self) -> float | None:
        """The new time limit in seconds, if it is shorter than before or there was none."""
        before, after = self.fields.get("timeout", (None, None))
        return after if after is not None and (before is None or after < before) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that would not be in force as it is written. If it is stale its former version stays."""

    file: str
    status: ItemStatus
    problems: tuple[Problem, ...]


def job_changes(preview: Preview, next_before: Mapping[str, datetime | None], now: datetime) -> Iterator[JobChange]:
    """Yield the changes of a preview by job id; `next_before` are the next slots of the jobs in force."""
    expired = {job.id for job in preview.plan.expire}
    put = {job.id: job for job in (*preview.plan.put, *preview.plan.expire)}
    for job_id in sorted({*put, *preview.plan.drop}):
        before, after = preview.before.get(job_id), put.get(job_id)
        if after is None:
            file = "" if before is None else before.source_name
            yield JobChange(REMOVED, job_id, file, next_before=next_before.get(job_id))
            continue
        kind = EXPIRED if job_id in expired else NEW if before is None else CHANGED
        text, fields = definition_json(after)["schedule"], {} if before is None else _changed(before, after)
        last = None if job_id in expired else next_slot(after, now)
        yield JobChange(kind, job_id, after.source_name, fields, text, next_before.get(job_id), last)


def next_slot(job: Job, now: datetime) -> datetime | None:
    """Return the next slot of a job that is put in force now; None if it has none, or is disabled."""
    try:
        return timetable_of(job).next(now) if job.enabled else None
    except UnknownTimezone:  # of another host
        return None


def _changed(before: Job, after: Job) -> dict[str, tuple[Any, Any]]:
    """Return the changed fields with both values; None for those of tasks, which may be secret."""
    former, latter = definition_json(before), definition_json(after)
    return {
        name: (None, None) if name in _TASKS else (former.get(name), latter.get(name))
        for name in after.changed_fields(before)
    }


# --- text --------------------------------------------------------------------------------------------------


def change_line(change: JobChange, width: int, now: datetime) -> str:
    """Return the line of a change; ids are as wide as `width`."""
    parts = [f"{_MARKS[change.kind]} {change.kind:<8} {printable(change.job_id):<{width}}"]
    if change.kind in {NEW, EXPIRED}:
        parts.append(change.schedule or "")
    parts += [_field_text(name, *values) for name, values in change.fields.items()]
    parts.append(_next_text(change, now))
    return "  ".join(filter(None, parts))


def _field_text(name: str, before: Any, after: Any) -> str:
    if name in _TASKS:
        return name
    show = _duration if name in _DURATIONS else _value
    return f"{name} {show(before)} → {show(after)}"


def _duration(seconds: Any) -> str:
    return "-" if seconds is None else format_compact_duration(seconds)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else "-" if value is None else json.dumps(value, ensure_ascii=False)
    return printable(truncate(text, _MAX_VALUE_CHARS))


def _next_text(change: JobChange, now: datetime) -> str:
    before, after = _time(change.next_before, now), _time(change.next_after, now)
    match change.kind:
        case "new":
            return f"next: {after}"
        case "expired":
            return "its only slot is over: never run"
        case "removed":
            return f"was due next: {before}"
    return f"next: {after}" if before == after else f"next: {before} → {after}"


def _time(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else format_local_short(at, now)


# --- JSON --------------------------------------------------------------------------------------------------


def change_json(change: JobChange) -> dict[str, Any]:
    """Return a change as the object that `--json` prints."""
    return {
        "change": change.kind,
        "job_id": change.job_id,
        "file": change.file,
        "changed": {name: {"before": values[0], "after": values[1]} for name, values in change.fields.items()},
        "next_before": instant(change.next_before),
        "next_after": instant(change.next_after),
    }


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """Return a refused file as the object that `--json` prints."""
    return {
        "change": "refused",
        "file": refusal.file,
        "former_version_stays": refusal.status.state is ItemState.STALE,
        "problems": [problem_json(problem, "error") for problem in refusal.problems],
    }
