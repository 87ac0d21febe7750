"""Hold a parsed crontab expression and compute its slots.

The search for the next slot follows Debian's cron (`cron.c`, the loop in `main`), with its clock rules
applied to changes of the zone's offset:

1. A *fixed* job (neither minute nor hour starts with a star) belongs to the times that the clock reaches. Its slot
   for a wall-clock time is the first instant at which the clock shows that time or a later one. So a time in a gap
   runs at the end of the gap, and several such times run once together. A time that is shown twice runs only in the
   first pass. "Strictly after" means: times later than the latest one that the clock has shown so far.
2. A *real-time* job (minute or hour starts with a star) belongs to the times that the clock shows, each time it
   shows them. A time in a gap has no slot, and a repeated hour has slots in both passes.
3. Days are found by month: the days of a month that match depend only on its length and on the weekday of its first
   day. So 28 bit masks per expression cover every possible month.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from jobscheduler.timetable.crontab.wall_clock import (
    DAY,
    END,
    FIRST,
    first_instant_showing,
    latest_wall_time,
    offset_period_at,
    to_datetime,
    to_epoch_seconds,
)

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_YEAR = 2201  # east of Greenwich the clock shows it in the last supported hours


@dataclass(frozen=True, slots=True)
class DayRule:
    """The rule for the matching days of a month. Masks have one bit per day (1 to 31) or weekday (0, Sunday, to 6).

    `last_day` is `L`, `last_weekdays` come from items like `5L`. `nth_weekdays` come from items like `5#3`, one mask
    each for first to fifth. With `both` the day of the month and the weekday must match, else either is enough.
    """

    days: int
    last_day: bool
    weekdays: int
    last_weekdays: int
    nth_weekdays: tuple[int, int, int, int, int]
    both: bool

    def mask_for(self, length: int, first: int) -> int:
        """Return the mask of matching days for a month of that length and first weekday."""
        by_date = self.days | (1 << length if self.last_day else 0)
        by_weekday = sum(1 << day for day in range(1, length + 1) if self._has_weekday(day, length, first))
        matching = by_date & by_weekday if self.both else by_date | by_weekday
        return matching & ((2 << length) - 2)

    def _has_weekday(self, day: int, length: int, first: int) -> bool:
        wanted = self.weekdays | self.nth_weekdays[(day - 1) // 7]
        if day > length - 7:
            wanted |= self.last_weekdays
        return bool(wanted >> (first + day - 1) % 7 & 1)


@lru_cache(maxsize=4096)
def month_masks(rule: DayRule) -> tuple[int, ...]:
    """Return the matching days of all 28 kinds of month: lengths 28 to 31, each beginning on Sunday to Saturday."""
    return tuple(rule.mask_for(length, first) for length in range(28, 32) for first in range(7))


@dataclass(frozen=True, slots=True)
class Crontab:
    """A parsed expression. Texts with the same meaning give equal values. Masks have one bit per value of a field.

    `real_time` marks a job that follows real time through clock changes (minute or hour starts with a star).
    `at_boot` is `@reboot` and `manual` is `@manual`: neither has slots of its own.
    """

    seconds: int
    minutes: int
    hours: int
    months: int
    day_rule: DayRule
    real_time: bool
    at_boot: bool = False
    manual: bool = False
    _days: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_days", month_masks(self.day_rule))

    @property
    def has_slots(self) -> bool:
        """Whether it has slots of its own."""
        return not (self.at_boot or self.manual)

    def masks(self) -> tuple[int, ...]:
        """Return the values of each field and the matching days of every kind of month.

        Different day rules may give the same masks. Schedules with equal masks have equal slots while the offset of
        their zone does not change.
        """
        return (self.seconds, self.minutes, self.hours, self.months, *self._days)

    def next(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first slot strictly after an aware moment, in UTC; None when there is none before 2201.

        Raises:
            ValueError: `after` is naive. Nothing else is raised.

        """
        instant = max(to_epoch_seconds(after), FIRST)
        if instant >= END or not self.has_slots:
            return None
        slot = self._next_real(instant, zone) if self.real_time else self._next_fixed(instant, zone)
        return None if slot is None or slot >= END else to_datetime(slot)

    def _next_fixed(self, after: int, zone: ZoneInfo) -> int | None:
        wall = self.first_wall_time(latest_wall_time(zone, after) + 1)
        return None if wall is None else first_instant_showing(zone, wall)

    def _next_real(self, after: int, zone: ZoneInfo) -> int | None:
        """Walk the zone's offset periods, skipping those that cannot hold the slot.

        No time before `wall` matches. Within two days the clock may still be set back to earlier times. So periods are
        skipped only beyond two days, and only up to two days before `wall` is due.
        """
        at = after + 1
        while at < END:
            period = offset_period_at(zone, at)
            wall = self.first_wall_time(at + period.offset)
            if wall is None:
                return None
            if wall - period.offset < period.end:
                return wall - period.offset
            is_near = period.end - at < 2 * DAY
            at = period.end if is_near else max(period.end, wall - period.offset - 2 * DAY)
        return None

    def first_wall_time(self, wall: int) -> int | None:
        """Return the first matching wall-clock time at or after `wall`, ignoring zones; None when there is none."""
        day, second = divmod(wall, DAY)
        today = date.fromordinal(day + _EPOCH_ORDINAL)
        if self.days_in_month(today.year, today.month) >> today.day & 1:
            time = self._first_time(second)
            if time is not None:
                return day * DAY + time
        next_day = self._first_day(today.year, today.month, today.day + 1)
        midnight = self._first_time(0)
        return None if next_day is None or midnight is None else next_day * DAY + midnight

    def _first_day(self, year: int, month: int, day: int) -> int | None:
        """Return the first matching day at or after a date, counted from 1970; `day` may be past the month's end."""
        while year <= _LAST_YEAR:
            matching_days = self.days_in_month(year, month) >> day
            if matching_days:
                return date(year, month, day + _lowest(matching_days)).toordinal() - _EPOCH_ORDINAL
            day = 1
            later_months = self.months >> (month + 1)
            if later_months:
                month += 1 + _lowest(later_months)
            else:
                year, month = year + 1, _lowest(self.months)
        return None

    def days_in_month(self, year: int, month: int) -> int:
        """Return the mask of the matching days of a month, one bit per day."""
        return self._days_if(year, month) if self.months >> month & 1 else 0

    def has_day(self, year: int, month: int, day: int) -> bool:
        """Return whether a date matches the two day fields by their rule, ignoring the month field."""
        return bool(self._days_if(year, month) >> day & 1)

    def _days_if(self, year: int, month: int) -> int:
        """Return the mask of the days that match in a month, ignoring the month field."""
        length = _LENGTHS[month]
        if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
            length = 29
        return self._days[(length - 28) * 7 + date(year, month, 1).toordinal() % 7]

    def _first_time(self, second_of_day: int) -> int | None:
        """Return the first matching time of day at or after `second_of_day`, both in seconds since midnight."""
        minute_of_day, second = divmod(second_of_day, 60)
        hour, minute = divmod(minute_of_day, 60)
        hours, minutes, seconds = self.hours >> hour, self.minutes >> minute, self.seconds >> second
        if hours & 1:
            if minutes & 1 and seconds:
                return second_of_day + _lowest(seconds)
            minutes &= ~1
            if minutes:
                return hour * 3600 + (minute + _lowest(minutes)) * 60 + _lowest(self.seconds)
        hours &= ~1
        if not hours:
            return None
        return (hour + _lowest(hours)) * 3600 + _lowest(self.minutes) * 60 + _lowest(self.seconds)

    def has_any_date(self) -> bool:
        """Return whether any date matches. The calendar's cycle of 400 years holds every kind of month."""
        return any(self._days_in_some(month) for month in range(1, 13) if self.months >> month & 1)

    def _days_in_some(self, month: int) -> bool:
        lengths = (28, 29) if month == 2 else (_LENGTHS[month],)
        return any(self._days[(length - 28) * 7 + first] for length in lengths for first in range(7))


def _lowest(mask: int) -> int:
    """Return the number of the lowest set bit."""
    return (mask & -mask).bit_length() - 1
