"""How many slots lie in a stretch of time, by arithmetic: an outage of years is counted as quickly as one of minutes.

1. A *real-time* job has a slot for each matching time that the clock shows, so in a piece of constant offset they are
   the matching times between two readings.
2. A *fixed* job has one for each matching time that the clock reaches, so they are the matching times between two
   high waters; but of those that one gap skips, only one.
3. Matching times between two readings are: days that match, by the month, times the matching times of a day, and what
   is left at both ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo

from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.wall_clock import DAY, END, FIRST, OffsetPeriod, latest_wall_time, offset_periods

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def count_slots(crontab: Crontab, zone: ZoneInfo, after: int, until: int) -> int:
    """Count the slots with `after < slot <= until`, both in whole seconds since 1970."""
    after, until = max(after, FIRST), min(until, END - 1)
    if until <= after or crontab.at_boot:
        return 0
    stretches = list(_stretches(zone, after + 1, until))
    if crontab.real_time:
        return sum(
            _times(crontab, max(one.start, after + 1) + one.offset, min(one.end - 1, until) + one.offset)
            for one in stretches
        )
    together = (
        _times(crontab, latest_wall_time(zone, one.start - 1) + 1, latest_wall_time(zone, one.start))
        for one in stretches
    )
    every = _times(crontab, latest_wall_time(zone, after) + 1, latest_wall_time(zone, until))
    inside = [one.start > after for one in stretches]
    return every - sum(max(0, many - 1) for many, counts in zip(together, inside, strict=True) if counts)


def _stretches(zone: ZoneInfo, first: int, last: int) -> Iterator[OffsetPeriod]:
    """Yield the pieces that overlap with `first <= instant <= last`, neighbours of the same offset as one."""
    held: OffsetPeriod | None = None
    for piece in offset_periods(zone, first):
        if piece.start > last:
            break
        if held is not None and held.offset == piece.offset:
            held = held._replace(end=piece.end)
        else:
            if held is not None:
                yield held
            held = piece
    if held is not None:
        yield held


def _times(crontab: Crontab, first: int, last: int) -> int:
    """Count the matching wall-clock times from one to another, both inclusive."""
    if last < first:
        return 0
    (first_day, begin), (last_day, end) = divmod(first, DAY), divmod(last, DAY)
    a_day = _times_before(crontab, DAY)
    found = _days(crontab, first_day, last_day) * a_day
    found -= _days(crontab, first_day, first_day) * _times_before(crontab, begin)
    return found - _days(crontab, last_day, last_day) * (a_day - _times_before(crontab, end + 1))


def _times_before(crontab: Crontab, second_of_day: int) -> int:
    """Count the matching times of a day before one of them."""
    minute_of_day, second = divmod(second_of_day, 60)
    hour, minute = divmod(minute_of_day, 60)
    a_minute = crontab.seconds.bit_count()
    whole_hours = _below(crontab.hours, hour) * crontab.minutes.bit_count() * a_minute
    if not crontab.hours >> hour & 1:
        return whole_hours
    seconds = _below(crontab.seconds, second) if crontab.minutes >> minute & 1 else 0
    return whole_hours + _below(crontab.minutes, minute) * a_minute + seconds


def _below(mask: int, bit: int) -> int:
    return (mask & ((1 << bit) - 1)).bit_count()


def _days(crontab: Crontab, first: int, last: int) -> int:
    """Count the matching days from one to another, both inclusive, in days since 1970; a month at a time."""
    begin, end = (date.fromordinal(day + _EPOCH_ORDINAL) for day in (first, last))
    found = 0
    for month in range(begin.year * 12 + begin.month - 1, end.year * 12 + end.month):
        days = crontab.days_in_month(month // 12, month % 12 + 1)
        if (month // 12, month % 12 + 1) == (end.year, end.month):
            days &= (2 << end.day) - 1
        if (month // 12, month % 12 + 1) == (begin.year, begin.month):
            days >>= begin.day
        found += days.bit_count()
    return found
