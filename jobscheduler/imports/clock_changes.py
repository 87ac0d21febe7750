"""Find the slots around clock changes that a job has here and not in APScheduler, or the other way round (pure).

Between clock changes equal fields give equal slots. So only some spans of the year to come are compared: the days
around each change, and the first hours of each month, into which APScheduler also carries the hour of a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from jobscheduler.imports.apscheduler_fields import Field, Fields
from jobscheduler.imports.apscheduler_slots import ApschedulerSlots
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab.wall_clock import offset_periods, to_datetime, to_epoch_seconds
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.text import plural

COMPARED = timedelta(days=366)  # so far ahead slots are compared

_BEFORE, _AFTER = timedelta(hours=3), timedelta(hours=27)  # of a clock change
_MONTH_BEFORE, _MONTH_AFTER = timedelta(hours=1), timedelta(hours=3)  # of the beginning of a month
_EARLY_HOURS = 3  # of a month, that are compared
_LONGEST_PAUSE = timedelta(days=8 * 366)  # between two slots of a schedule: 29 February around 2100
_MAX_SHOWN = 3  # slots in a message
_MAX_SLOTS = 10_000  # of one span: as many as it has minutes, and more


class Differences(NamedTuple):
    """The slots of the year to come that only one of the two has."""

    here: tuple[datetime, ...] = ()
    there: tuple[datetime, ...] = ()


class _Schedule(NamedTuple):
    """What decides the slots, as a key: the items of the fields, the expression and the zone."""

    fields: tuple[Field, ...]
    expression: str
    zone: ZoneInfo


def differences(fields: Fields, expression: str, zone: ZoneInfo, now: datetime) -> Differences:
    """Compare the slots of a trigger with those of the expression that has the same times of day.

    Of a minute with several slots only the first one is compared, as all of them have the same fate.
    """
    return _compared(
        _Schedule(tuple(fields.values()), expression, zone), now.replace(minute=0, second=0, microsecond=0)
    )


@lru_cache(maxsize=4096)  # many jobs have the same schedule
def _compared(schedule: _Schedule, now: datetime) -> Differences:
    fields = {field.name: field for field in schedule.fields}
    spans = tuple(_spans(schedule.zone, now, is_early=min(fields["hour"].values) < _EARLY_HOURS))
    if not spans:
        return Differences()
    if not any(field.is_restricted for field in schedule.fields if field.name != "second"):
        return Differences()  # each minute that passes has a slot
    fields["second"] = _first_alone(fields["second"])
    first = min(fields["second"].values)
    ours = Timetable(crontab.parse(f"{first} {schedule.expression.partition(' ')[2]}"), schedule.zone)
    slots = ApschedulerSlots(fields, schedule.zone)
    here, there = set[datetime](), set[datetime]()
    for start, end in spans:
        before = ours.last_between(start - _LONGEST_PAUSE, start) or start
        there.update(slot for slot in slots.between(before, end) if slot > start)
        here.update(ours.slots(start, end, _MAX_SLOTS))
    return Differences(tuple(sorted(here - there)), tuple(sorted(there - here)))


def _first_alone(seconds: Field) -> Field:
    item = min(seconds.items, key=lambda one: min(one.values))
    first = min(item.values)
    return Field("second", (type(item)(str(first), frozenset({first})),))


def _spans(zone: ZoneInfo, now: datetime, *, is_early: bool) -> Iterator[tuple[datetime, datetime]]:
    """Yield the spans to compare; none if the clock does not change. `is_early`: slots may begin a month."""
    changes = list(_changes(zone, now))
    if not changes:
        return
    yield from ((change - _BEFORE, change + _AFTER) for change in changes)
    year, month = now.year, now.month
    for number in range(month, month + 13) if is_early else ():
        first = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone).astimezone(UTC)
        yield first - _MONTH_BEFORE, first + _MONTH_AFTER


def _changes(zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """Yield the instants at which the clock changes, in the year to come and a month before."""
    offset: int | None = None
    end = to_epoch_seconds(now + COMPARED)
    for period in offset_periods(zone, to_epoch_seconds(now - timedelta(days=31))):
        if period.start >= end:
            return
        if offset is not None and period.offset != offset:
            yield to_datetime(period.start)
        offset = period.offset


def describe(found: Differences, zone: ZoneInfo) -> str | None:
    """Return the differences in words, None if there are none."""
    parts = []
    if found.here:
        parts.append(f"here it is also due {_slots(found.here, zone)}")
    if found.there:
        parts.append(f"JobsManager also runs it {_slots(found.there, zone)}")
    return f"around clock changes its slots differ: {', and '.join(parts)}" if parts else None


def _slots(slots: Iterable[datetime], zone: ZoneInfo) -> str:
    found = [slot.astimezone(zone) for slot in slots]
    days: dict[date, list[datetime]] = {}
    for slot in found:
        days.setdefault(slot.date(), []).append(slot)
    shown = [_slots_of_day(of_day) for of_day in list(days.values())[:_MAX_SHOWN]]
    more = len(days) - len(shown)
    return ", ".join(shown) + (f" and on {plural(more, 'further day')}" if more > 0 else "")


def _slots_of_day(slots: list[datetime]) -> str:
    first, last = slots[0], slots[-1]
    if first == last:
        return f"on {first:%Y-%m-%d} at {first:%H:%M:%S %Z}"
    return f"on {first:%Y-%m-%d} from {first:%H:%M:%S %Z} to {last:%H:%M:%S %Z}"
