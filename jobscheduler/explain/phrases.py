"""Describe a record in English."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.explain.evidence import instant
from jobscheduler.model import Job
from jobscheduler.model.log_line import Line
from jobscheduler.model.selection import ALL
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_with_zone

_FAILED: Mapping[str, str] = {
    "timeout": "it was stopped at its time limit",
    "oom": "it needed more memory than its `limits` allow",
    "stopped": "a person stopped it",
    "replaced": "its next slot was due and took its place",
    "interrupted": "the service or the host went down while it ran",
    "shutdown": "the service was stopped and did not wait for it any longer",
    "start": "it could not be started",
    "http": "the answer was not the expected one",
    "task": "the task failed",
    "exit": "the command failed",
}
_SKIPPED: Mapping[str, str] = {
    "overlap": "its last run was still in progress",
    "paused": "the job was paused",
    "stopped": "a person stopped it before it could begin",
}
_MISSED: Mapping[str, str] = {
    "down": "the service was not running",
    "asleep": "the host was asleep",
    "stalled": "the service was stalled (it was frozen, was stopping, or the host stood still)",
    "clock": "the clock was set past it",
    "shutdown": "the service was stopping",
    "deleted": "the file was deleted before it could begin",
    "disabled": "the job was disabled before it could begin",
    "unknown": "the host went down at that very time, so it may have begun; it was not run again",
}
_OUTAGES = frozenset({"down", "asleep", "stalled", "clock"})


def format_time_of(line: Line, zone: ZoneInfo, key: str = "time") -> str:
    """Format an instant of a line in the time of a zone; return an invalid one unchanged."""
    at = instant(line, key)
    return line.get(key, "?") if at is None else format_with_zone(at, zone)


def result_code(record: Line) -> str:
    """Return the answer code for the result of a slot."""
    return {"SUCCESS": "ran", "FAILURE": "failed"}.get(record["word"], record["word"].lower())


def describe_record(record: Line, zone: ZoneInfo) -> str:
    """Describe a record: `ran and succeeded: began …, took 1.2 s`."""
    match record["word"]:
        case "SUCCESS":
            return f"ran and succeeded{_timing(record, zone)}"
        case "FAILURE":
            return f"ran and failed: {_why_failed(record)}{_timing(record, zone)}"
        case "SKIPPED":
            return f"was skipped: {_reason(_SKIPPED, record)}"
        case _:
            return f"was missed: {_reason(_MISSED, record)}"


def describe_pause_line(line: Line, zone: ZoneInfo) -> str:
    """Describe a pause by the line about its begin: who paused what, when and why."""
    what = "" if "jobs" not in line else ", with all jobs" if line["jobs"] == ALL else f", with `{line['jobs']}`"
    by = f" by {line['by']}" if line.get("by") else ""
    reason = f": {line['reason']}" if line.get("reason") else ""
    return f"it was paused at {format_time_of(line, zone)}{what}{by}{reason}"


def record_notes(record: Line, slot: datetime, job: Job | None, zone: ZoneInfo) -> tuple[str, ...]:
    """Return further notes on a record."""
    notes = []
    if record["word"] == "SKIPPED" and record.get("reason") == "overlap":
        notes.append(_why_skipped(job))
    if record["word"] == "MISSED" and record.get("reason") in _OUTAGES:
        notes.append(_why_not_caught_up(record, slot, job, zone))
    if record.get("attempts"):
        notes.append(f"it took {record['attempts']} attempts")
    if record.get("output"):
        output = record["output"].strip()
        notes.append("the end of its output:" + ("\n" if "\n" in output else " ") + output)
    return tuple(notes)


def _why_skipped(job: Job | None) -> str:
    """Explain the current value of `overlap` and its alternatives."""
    if job is not None and job.overlap == "queue":
        return "another slot was waiting already: with `overlap: queue` one slot waits, and further ones are skipped"
    current = "" if job is None else f"; it is `{job.overlap}` now"
    return f"`overlap` says what happens then: `skip`, `queue`, `replace` or `allow`{current}"


def _why_not_caught_up(record: Line, slot: datetime, job: Job | None, zone: ZoneInfo) -> str:
    """Explain that of the slots of an outage only the latest may run, and not if it is too old."""
    first, last, decided_at = instant(record, "scheduled"), instant(record, "last"), instant(record, "time")
    prefix = (
        f"one of {record.get('count')} slots from {format_with_zone(first, zone)} to {format_with_zone(last, zone)}; "
        if (first and last and last > first)
        else ""
    )
    if job is None or decided_at is None:
        return f"{prefix}the service was back at {format_time_of(record, zone)}"
    if decided_at - slot > timedelta(seconds=job.catch_up):
        age = format_compact_duration((decided_at - slot).total_seconds())
        limit = f"`catch_up` allows {format_compact_duration(job.catch_up)}" if job.catch_up else "`catch_up` is 0"
        return f"{prefix}it was {age} old when the service could decide about it, and {limit}"
    return f"{prefix}of the slots of an outage only the latest may still run"


def _reason(texts: Mapping[str, str], record: Line) -> str:
    reason = record.get("reason", "")
    return texts.get(reason, reason or "the log does not say why")


def _why_failed(record: Line) -> str:
    text = _reason(_FAILED, record)
    details = [
        f"{name} {record[key]}"
        for key, name in (("exit_code", "exit code"), ("signal", "signal"), ("http_status", "HTTP status"))
        if key in record
    ]
    details += [record["error"]] if record.get("error") else []
    return f"{text} ({', '.join(details)})" if details else text


def _timing(record: Line, zone: ZoneInfo) -> str:
    began = f"began {format_time_of(record, zone, 'started')}" if "started" in record else ""
    try:
        took = f"took {format_compact_duration(float(record['duration']))}"
    except (KeyError, ValueError):
        took = ""
    text = ", ".join(filter(None, (began, took)))
    return f"; {text}" if text else ""
