"""What a record says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.explain.evidence import Line, instant
from jobscheduler.model import Job

_FAILED: Mapping[str, str] = {
    "timeout": "it was stopped at its time limit",
    "replaced": "its next slot was due and took its place",
    "interrupted": "the service or the host went down while it ran",
    "shutdown": "the service was stopped and did not wait for it any longer",
    "start": "it could not be started",
    "http": "the answer was not the one that was expected",
    "task": "the task failed",
    "exit": "the command failed",
}
_SKIPPED: Mapping[str, str] = {
    "overlap": "its last run was still going on",
    "paused": "the job was paused",
}
_MISSED: Mapping[str, str] = {
    "down": "the service was not running",
    "asleep": "the host was asleep",
    "stalled": "the service could not move (it was held, was stopping, or the host stood still)",
    "clock": "the clock was set past it",
    "shutdown": "the service was stopping",
    "deleted": "the file was deleted before it could begin",
    "disabled": "the job was disabled before it could begin",
    "unknown": "the host went down at that very time, so it may have begun; it was not run again",
}
_OUTAGES = frozenset({"down", "asleep", "stalled", "clock"})


def format_moment(at: datetime, zone: ZoneInfo) -> str:
    """Write an instant in the time of a zone: `Sun 2026-11-22 01:00:00 CET`."""
    local = at.astimezone(zone)
    fraction = f"{local.microsecond // 1000:03}" if local.microsecond >= 1000 else ""
    return f"{local:%a %Y-%m-%d %H:%M:%S}{'.' if fraction else ''}{fraction} {local:%Z}"


def format_time_of(line: Line, zone: ZoneInfo, key: str = "time") -> str:
    """Write an instant of a line in the time of a zone; what is none as it stands there."""
    at = instant(line, key)
    return line.get(key, "?") if at is None else format_moment(at, zone)


def format_duration(seconds: float) -> str:
    """Write a duration: `90 s`, `15 min`, `1.5 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def result_code(record: Line) -> str:
    """Give the word for machines that says what became of a slot."""
    return {"SUCCESS": "ran", "FAILURE": "failed"}.get(record["word"], record["word"].lower())


def describe_record(record: Line, zone: ZoneInfo) -> str:
    """Say what a record says: `ran and succeeded: began …, took 1.2 s`."""
    match record["word"]:
        case "SUCCESS":
            return f"ran and succeeded{_timing(record, zone)}"
        case "FAILURE":
            return f"ran and failed: {_why_failed(record)}{_timing(record, zone)}"
        case "SKIPPED":
            return f"was skipped: {_reason(_SKIPPED, record)}"
        case _:
            return f"was missed: {_reason(_MISSED, record)}"


def record_notes(record: Line, slot: datetime, job: Job | None, zone: ZoneInfo) -> tuple[str, ...]:
    """Say what else belongs to a record, for who wonders about it."""
    said = []
    if record["word"] == "SKIPPED" and record.get("reason") == "overlap":
        said.append(_why_skipped(job))
    if record["word"] == "MISSED" and record.get("reason") in _OUTAGES:
        said.append(_why_not_caught_up(record, slot, job, zone))
    if record.get("attempts"):
        said.append(f"it took {record['attempts']} attempts")
    if record.get("output"):
        output = record["output"].strip()
        said.append("the end of its output:" + ("\n" if "\n" in output else " ") + output)
    return tuple(said)


def _why_skipped(job: Job | None) -> str:
    """Say what `overlap` asks for by the definition of now, and what else it could."""
    if job is not None and job.overlap == "queue":
        return "another slot was waiting for that already: by `overlap: queue` one waits, and further ones are skipped"
    now = "" if job is None else f"; it is `{job.overlap}` now"
    return f"`overlap` says what happens then: `skip`, `queue`, `replace` or `allow`{now}"


def _why_not_caught_up(record: Line, slot: datetime, job: Job | None, zone: ZoneInfo) -> str:
    """Of the slots of an outage only the latest may run, and not if it is too old."""
    first, last, decided = instant(record, "scheduled"), instant(record, "last"), instant(record, "time")
    among = (
        f"one of {record.get('count')} slots from {format_moment(first, zone)} to {format_moment(last, zone)}; "
        if (first and last and last > first)
        else ""
    )
    if job is None or decided is None:
        return f"{among}the service was back at {format_time_of(record, zone)}"
    if decided - slot > timedelta(seconds=job.catch_up):
        age = format_duration((decided - slot).total_seconds())
        limit = f"`catch_up` allows {format_duration(job.catch_up)}" if job.catch_up else "`catch_up` is 0"
        return f"{among}it was {age} old when the service could decide about it, and {limit}"
    return f"{among}of the slots of an outage only the latest may still run"


def _reason(words: Mapping[str, str], record: Line) -> str:
    reason = record.get("reason", "")
    return words.get(reason, reason or "the log does not say why")


def _why_failed(record: Line) -> str:
    found = _reason(_FAILED, record)
    more = [
        f"{name} {record[key]}"
        for key, name in (("exit_code", "exit code"), ("signal", "signal"), ("http_status", "HTTP status"))
        if key in record
    ]
    more += [record["error"]] if record.get("error") else []
    return f"{found} ({', '.join(more)})" if more else found


def _timing(record: Line, zone: ZoneInfo) -> str:
    began = f"began {format_time_of(record, zone, 'started')}" if "started" in record else ""
    try:
        took = f"took {format_duration(float(record['duration']))}"
    except (KeyError, ValueError):
        took = ""
    said = ", ".join(filter(None, (began, took)))
    return f"; {said}" if said else ""
