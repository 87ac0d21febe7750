"""Count the slots of a time span by arithmetic: years take no longer than minutes.

1. A *real-time* job has a slot for each matching time that the clock shows, so in a period of constant offset its slots
   are the matching times between two readings of the clock.
2. A *fixed* job has a slot for each matching time that the clock reaches, so its slots are the matching times between
   the latest times shown at both ends. The times that one gap skips count as one.
3. Matching times between two readings: the number of matching days, found by month, times the matching times of a
   day, corrected for the incomplete days at both ends.
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
    if until <= after or not crontab.has_slots:
        return 0
    periods = list(_merged_periods(zone, after + 1, until))
    if crontab.real_time:
        return sum(
            _times(crontab, max(period.start, after + 1) + period.offset, min(period.end - 1, until) + period.offset)
            for period in periods
        )
    counts_at_starts = (
        _times(crontab, latest_wall_time(zone, period.start - 1) + 1, latest_wall_time(zone, period.start))
        for period in periods
    )
    total = _times(crontab, latest_wall_time(zone, after) + 1, latest_wall_time(zone, until))
    are_inside = [period.start > after for period in periods]
    return total - sum(
        max(0, count - 1) for count, is_inside in zip(counts_at_starts, are_inside, strict=True) if is_inside
    )


def _merged_periods(zone: ZoneInfo, first: int, last: int) -> Iterator[OffsetPeriod]:
    """Yield the periods that overlap `first <= instant <= last`, merging neighbours of the same offset."""
    current: OffsetPeriod | None = None
    for period in offset_periods(zone, first):
        if period.start > last:
            break
        if current is not None and current.offset == period.offset:
            current = current._replace(end=period.end)
        else:
            if current is not None:
                yield current
            current = period
    if current is not None:
        yield current


def _times(crontab: Crontab, first: int, last: int) -> int:
    """Count the matching wall-clock times from `first` to `last`, both inclusive."""
    if last < first:
        return 0
    (first_day, begin), (last_day, end) = divmod(first, DAY), divmod(last, DAY)
    per_day = _times_before(crontab, DAY)
    total = _days(crontab, first_day, last_day) * per_day
    total -= _days(crontab, first_day, first_day) * _times_before(crontab, begin)
    return total - _days(crontab, last_day, last_day) * (per_day - _times_before(crontab, end + 1))


def _times_before(crontab: Crontab, second_of_day: int) -> int:
    """Count the matching times of a day before `second_of_day`."""
    minute_of_day, second = divmod(second_of_day, 60)
    hour, minute = divmod(minute_of_day, 60)
    per_minute = crontab.seconds.bit_count()
    whole_hours = _below(crontab.hours, hour) * crontab.minutes.bit_count() * per_minute
    if not crontab.hours >> hour & 1:
        return whole_hours
    seconds = _below(crontab.seconds, second) if crontab.minutes >> minute & 1 else 0
    return whole_hours + _below(crontab.minutes, minute) * per_minute + seconds


def _below(mask: int, bit: int) -> int:
    return (mask & ((1 << bit) - 1)).bit_count()


def _days(crontab: Crontab, first: int, last: int) -> int:
    """Count the matching days from `first` to `last`, both inclusive, in days since 1970, month by month."""
    begin, end = (date.fromordinal(day + _EPOCH_ORDINAL) for day in (first, last))
    total = 0
    for month in range(begin.year * 12 + begin.month - 1, end.year * 12 + end.month):
        days = crontab.days_in_month(month // 12, month % 12 + 1)
        if (month // 12, month % 12 + 1) == (end.year, end.month):
            days &= (2 << end.day) - 1
        if (month // 12, month % 12 + 1) == (begin.year, begin.month):
            days >>= begin.day
        total += days.bit_count()
    return total
