"""Compute the slots of an APScheduler cron trigger as APScheduler 3.11 does, faults at clock changes included (pure).

1. The fields are looked at from year to second. A field that does not match moves on to its next value, and those
   below it go to their lowest; a field without a next value has the one above it count up.
2. Counting up adds the difference of the two clock times as real time. Across a clock change that lands an hour off:
   beyond the first hour of a day or a month, whose slots are then left out.
3. Setting a value keeps the clock time, also one that the clock does not show. That one is an hour later.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from jobscheduler.imports.apscheduler_fields import FIELD_NAMES, RANGES, Fields

_DERIVED = ("week", "day_of_week")  # fields that are not set by themselves
_REAL = tuple(name for name in FIELD_NAMES if name not in _DERIVED)
_SECOND = timedelta(seconds=1)
_LAST_YEAR = 2200


class ApschedulerSlots:
    """The slots of a trigger's fields in a zone."""

    def __init__(self, fields: Fields, zone: ZoneInfo) -> None:
        """Take the fields and the zone."""
        self._fields = fields
        self._zone = zone

    @cached_property
    def _sorted(self) -> dict[str, list[int]]:
        return {name: sorted(field.values) for name, field in self._fields.items()}

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the slots with `after < slot <= until` in UTC, where `after` is the slot before."""
        slot = self._next(after)
        while slot is not None and slot <= until:
            yield slot
            slot = self._next(slot)

    def _next(self, after: datetime) -> datetime | None:
        date = (after.replace(microsecond=0).astimezone(UTC) + _SECOND).astimezone(self._zone)
        number = 0
        while 0 <= number < len(FIELD_NAMES):
            if date.year > _LAST_YEAR:
                return None
            name = FIELD_NAMES[number]
            value, wanted = _value(date, name), self._wanted(date, name)
            if wanted is None:
                date, number = _count_up(date, number - 1)
            elif wanted == value:
                number += 1
            elif name in _DERIVED:
                date, number = _count_up(date, number)
            else:
                date = self._set(date, number, wanted)
                number += 1
        return date.astimezone(UTC) if number >= 0 else None

    def _wanted(self, date: datetime, name: str) -> int | None:
        """Return the first value of a field from that of the date on, None if there is none."""
        values, value = self._sorted[name], _value(date, name)
        index = bisect_left(values, value)
        highest = _highest(date, name)
        found = [values[index]] if index < len(values) and values[index] <= highest else []
        if name == "day":
            found += self._days_by_weekday(date)
        return min(found, default=None)

    def _days_by_weekday(self, date: datetime) -> Iterator[int]:
        first, length = monthrange(date.year, date.month)
        field = self._fields["day"]
        if field.has_last_day:
            yield length
        for weekday, place in field.positions:
            earliest = (weekday - first) % 7 + 1
            day = earliest + 7 * (place - 1 if place else (length - earliest) // 7)
            if date.day <= day <= length:
                yield day

    def _set(self, date: datetime, number: int, wanted: int) -> datetime:
        values = {name: _value(date, name) for name in _REAL if FIELD_NAMES.index(name) < number}
        return _clock_time({**values, FIELD_NAMES[number]: wanted}).replace(tzinfo=self._zone, fold=date.fold)


def _value(date: datetime, name: str) -> int:
    if name == "day_of_week":
        return date.weekday()
    return date.isocalendar()[1] if name == "week" else int(getattr(date, name))


def _highest(date: datetime, name: str) -> int:
    return monthrange(date.year, date.month)[1] if name == "day" else RANGES[name][1]


def _clock_time(values: dict[str, int]) -> datetime:
    """Return a time without zone; the fields that are not given have their lowest values."""
    found = [values.get(name, RANGES[name][0]) for name in _REAL]
    return datetime(*found)  # type: ignore[arg-type]  # noqa: DTZ001 - six numbers, from year to second


def _count_up(date: datetime, number: int) -> tuple[datetime, int]:
    """Add one to a field, or to the next one above that is not at its highest; return its number, too."""
    while number >= 0:
        name = FIELD_NAMES[number]
        if name not in _DERIVED and _value(date, name) < _highest(date, name):
            break
        number -= 1
    else:
        return date, number
    values = {above: _value(date, above) for above in _REAL if FIELD_NAMES.index(above) < number}
    wanted = _clock_time({**values, name: _value(date, name) + 1})
    moved = date.astimezone(UTC) + (wanted - date.replace(tzinfo=None, fold=0))
    return moved.astimezone(date.tzinfo), number
