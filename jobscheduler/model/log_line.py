"""A line of the log as read back: keys and values as text, and how to get instants, slots and a record from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from jobscheduler.model.entries import LogValue, Record, Status

Number = TypeVar("Number", int, float)

Line = Mapping[str, str]  # `time`, `word` (status or event), and the pairs of the line

RECORD_KINDS = frozenset(status.value for status in Status)  # the `word` of a record

_FIELDS_OF_RECORD = frozenset(
    {"time", "word", "status", "level", "job_id", "run_id", "scheduled", "started", "duration", "reason", "output"}
    | {"cpu", "max_rss"}
)


def parse_instant(line: Mapping[str, Any], key: str) -> datetime | None:
    """Return an instant of a line, None if it has no such key.

    Raises:
        ValueError: the instant is malformed.

    """
    text = line.get(key)
    at = None if text is None else datetime.fromisoformat(str(text))
    if at is not None and at.tzinfo is None:
        raise ValueError("an instant without its zone was cut short")
    return at


def slot_range(line: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the first and the last slot that a line is about, None if it is about none.

    Raises:
        ValueError: the line is malformed.

    """
    slot = parse_instant(line, "scheduled")
    return None if slot is None else (slot, parse_instant(line, "last") or slot)


def parse_record(line: Mapping[str, Any], *, with_output: bool = False) -> Record:
    """Return the record of a line. What the line says beside the fields of a record becomes its details, as text.

    `line` may also be an object of the JSON format, which has `status` in place of `word`.

    Raises:
        ValueError: a value is malformed.
        KeyError: a value is missing.

    """
    at = parse_instant(line, "time")
    if at is None:
        raise KeyError("time")
    details: tuple[tuple[str, LogValue], ...] = tuple(
        (key, str(value)) for key, value in line.items() if key not in _FIELDS_OF_RECORD
    )
    return Record(
        at,
        Status(line["word"] if "word" in line else line["status"]),
        str(line["job_id"]),
        _text(line, "run_id"),
        parse_instant(line, "scheduled"),
        parse_instant(line, "started"),
        float(line["duration"]) if line.get("duration") is not None else None,
        _text(line, "reason"),
        details,
        _text(line, "output") if with_output else None,
        cpu=_number(line, "cpu", float),
        max_rss=_number(line, "max_rss", int),
    )


def _number(line: Mapping[str, Any], key: str, kind: Callable[[Any], Number]) -> Number | None:
    """Return a number of a line; None if there is none, or if an older version has written something else there."""
    value = line.get(key)
    try:
        return None if value is None else kind(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(line: Mapping[str, Any], key: str) -> str | None:
    value = line.get(key)
    return None if value is None else str(value)
