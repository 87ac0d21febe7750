"""Schedules made up together with what they mean, and a clock that is walked minute by minute.

Nothing here uses the code under test: the meaning of each field is drawn first and then written down as text, and
the oracle does what the loop of Debian's cron does, one minute after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from random import Random
from zoneinfo import ZoneInfo

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "America/New_York", "America/St_Johns"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Cairo", "Asia/Beirut", "America/Havana"),
    *("America/Santiago", "Antarctica/Troll", "Africa/Casablanca", "Asia/Kathmandu", "Asia/Tehran", "Asia/Gaza"),
    *("America/Sao_Paulo", "Asia/Pyongyang", "America/Caracas", "Europe/Istanbul", "Antarctica/Casey", "UTC"),
)


@cache
def _in_its_month(day: date) -> tuple[int, int, bool, bool]:
    """Return its weekday, the how manieth of that name it is, and whether it is the last of that name, or of all."""
    after_a_week, after_a_day = day + timedelta(days=7), day + timedelta(days=1)
    return (
        day.isoweekday() % 7,
        (day.day + 6) // 7,
        after_a_week.month != day.month,
        after_a_day.month != day.month,
    )


@dataclass
class Meaning:
    """What a drawn schedule means, as plain sets."""

    text: str
    seconds: set[int]
    minutes: set[int]
    hours: set[int]
    months: set[int]
    days: set[int]
    weekdays: set[int]
    last_day: bool
    last_weekdays: set[int]
    nth_weekdays: set[tuple[int, int]]
    both: bool
    real_time: bool

    def has_date(self, day: date) -> bool:
        """Say whether a date matches."""
        if day.month not in self.months:
            return False
        weekday, nth, is_last_of_its_name, is_last = _in_its_month(day)
        by_date = day.day in self.days or (self.last_day and is_last)
        by_weekday = (
            weekday in self.weekdays
            or (weekday in self.last_weekdays and is_last_of_its_name)
            or (weekday, nth) in self.nth_weekdays
        )
        return by_date and by_weekday if self.both else by_date or by_weekday

    def has(self, wall: datetime) -> bool:
        """Say whether a wall-clock time matches."""
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.second in self.seconds
            and self.has_date(wall.date())
        )


def draw(random: Random, *, seconds: bool = False, hour: int | None = None) -> Meaning:
    """Draw a schedule; `hour` makes it likely that the hours hold that one, so that a clock change matters."""
    minute_text, minutes = _field(random, 0, 59, star=0.2)
    hour_text, hours = _field(random, 0, 23, star=0.3) if hour is None else _hours(random, hour)
    day_text, days, last_day = _day(random)
    month_text, months = _field(random, 1, 12, star=0.75, names=MONTHS)
    weekday_text, weekdays, last_weekdays, nth_weekdays = _weekday(random)
    second_text, second_set = _field(random, 0, 59, star=0.2) if seconds else ("", {0})
    parts = [second_text, minute_text, hour_text, day_text, month_text, weekday_text]
    return Meaning(
        text=" ".join(part for part in parts if part),
        seconds=second_set,
        minutes=minutes,
        hours=hours,
        months=months,
        days=days,
        weekdays=weekdays,
        last_day=last_day,
        last_weekdays=last_weekdays,
        nth_weekdays=nth_weekdays,
        both=day_text[0] == "*" or weekday_text[0] == "*",
        real_time=minute_text[0] == "*" or hour_text[0] == "*",
    )


def _hours(random: Random, hour: int) -> tuple[str, set[int]]:
    kind = random.random()
    if kind < 0.25:
        return "*", set(range(24))
    if kind < 0.35:
        step = random.choice((1, 2, 3))
        return f"*/{step}", set(range(0, 24, step))
    low = max(0, hour - random.randint(0, 2))
    high = min(23, hour + random.randint(0, 2))
    return (f"{hour}", {hour}) if kind < 0.65 else (f"{low}-{high}", set(range(low, high + 1)))


def _field(random: Random, low: int, high: int, *, star: float, names: list[str] | None = None) -> tuple[str, set[int]]:
    if random.random() < star:
        return "*", set(range(low, high + 1))
    items, numbers = [], set()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        text, meant = _item(random, low, high, names)
        items.append(text)
        numbers |= meant
    return ",".join(items), numbers


def _item(random: Random, low: int, high: int, names: list[str] | None) -> tuple[str, set[int]]:
    def written(number: int, ends_in_sunday: bool = False) -> str:
        if ends_in_sunday and random.random() < 0.6:
            return random.choice(("0", "sun", "Sun", "SUN"))
        if names and not (high == 7 and number == 7) and random.random() < 0.4:
            return random.choice((str.lower, str.upper, str.title))(names[number - low])
        return f"{number:02}" if random.random() < 0.1 else str(number)

    kind = random.random()
    if kind < 0.55:
        number = random.randint(low, high)
        return written(number), {number}
    step = random.choice((1, 2, 3, 5, 7, 10, 15, 20, 30, 90)) if random.random() < 0.6 else None
    suffix = f"/{step}" if step else ""
    if kind < 0.7:
        return f"*{suffix}", set(range(low, high + 1, step or 1))
    first, last = sorted((random.randint(low, high), random.randint(low, high)))
    ends_in_sunday = high == 7 == last and first > 0
    return f"{written(first)}-{written(last, ends_in_sunday)}{suffix}", set(range(first, last + 1, step or 1))


def _day(random: Random) -> tuple[str, set[int], bool]:
    kind = random.random()
    if kind < 0.08:
        return "L", set(), True
    text, days = _field(random, 1, 31, star=0.6)
    return (f"{text},L", days, True) if kind < 0.14 else (text, days, False)


def _weekday(random: Random) -> tuple[str, set[int], set[int], set[tuple[int, int]]]:
    kind = random.random()
    if kind < 0.14:
        day = random.randint(0, 7)
        name = str(day) if random.random() < 0.5 else WEEKDAYS[day % 7]
        if kind < 0.06:
            return f"{name}L", set(), {day % 7}, set()
        nth = random.randint(1, 5)
        return f"{name}#{nth}", set(), set(), {(day % 7, nth)}
    text, days = _field(random, 0, 7, star=0.6, names=WEEKDAYS)
    return text, {day % 7 for day in days}, set(), set()


def walked(meaning: Meaning, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """Do what the loop of Debian's cron does, minute by minute: the slots with `after < slot <= until`.

    The clock has been watched for two days before, so that it is known what it has shown.
    """
    slots = []
    latest, now = _watched(zone, after)
    while now <= until:
        wall = now.astimezone(zone).replace(tzinfo=None)
        minutes = [wall] if meaning.real_time else _minutes(latest, wall)
        if any(meaning.has(minute) for minute in minutes):
            slots.append(now)
        latest = max(latest, wall)
        now += _MINUTE
    return slots


_MINUTE = timedelta(minutes=1)


@lru_cache(64)
def _watched(zone: ZoneInfo, after: datetime) -> tuple[datetime, datetime]:
    """Return the latest time that the clock has shown for two days until `after`, and the first minute after that."""
    now = after.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(days=2)
    latest = now.astimezone(zone).replace(tzinfo=None) - _MINUTE
    while now <= after:
        latest = max(latest, now.astimezone(zone).replace(tzinfo=None))
        now += _MINUTE
    return latest, now


def _minutes(latest: datetime, wall: datetime) -> Iterator[datetime]:
    minute = latest + _MINUTE
    while minute <= wall:
        yield minute
        minute += _MINUTE


@cache
def changes(zone: ZoneInfo, first_year: int, last_year: int) -> list[datetime]:
    """Find the instants at which a zone's offset changed, to the minute, by looking at each day."""
    found = []
    now = datetime(first_year, 1, 1, tzinfo=UTC)
    end = datetime(last_year + 1, 1, 1, tzinfo=UTC)
    step = timedelta(days=1)
    offset = _offset(zone, now)
    while now < end:
        following = _offset(zone, now + step)
        if following != offset:
            low, high = now, now + step
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            found.append(high)
        now, offset = now + step, following
    return found


def _offset(zone: ZoneInfo, now: datetime) -> timedelta | None:
    return now.astimezone(zone).utcoffset()


def window(random: Random, zone: ZoneInfo, at: list[datetime]) -> tuple[datetime, datetime, int | None]:
    """Draw a window of some hours: around one of the changes if there are any, else anywhere.

    Gives its start, its end and the local hour that the change concerns.
    """
    if at and random.random() < 0.75:
        change = random.choice(at)
        after = change - timedelta(minutes=random.randint(-90, 720), seconds=random.choice((0, 0, 30)))
        hour = (change - timedelta(minutes=random.choice((0, 1, 60)))).astimezone(zone).hour
    else:
        after = datetime(2006, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randint(0, 26 * 365 * 1440))
        hour = None
    return after, after + timedelta(hours=random.randint(2, 14)), hour
