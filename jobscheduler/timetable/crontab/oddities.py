"""Find what is legal in a crontab expression and hardly meant: uneven steps, two day fields, hours that clocks skip.

Pure: the moment is an argument. Only `validate` and `plan` ask, so nothing of it costs a start.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.parser import (
    DAY,
    FIELDS,
    WEEKDAY,
    Field,
    Word,
    parse_expression,
    split_items,
    split_words,
)
from jobscheduler.timetable.crontab.wall_clock import OffsetPeriod, offset_periods, to_epoch_seconds, to_naive

CLOCK_CHANGE_SPAN = timedelta(days=731)  # how far ahead changes of a clock are looked for

_UNITS = {"second": "the minute", "minute": "the hour", "hour": "the day", "month": "the year"}
_HOUR_S = 3600


class Oddity(NamedTuple):
    """Something odd in an expression: what, what to write, notes, and the part of the text that it is about."""

    message: str
    help: str | None
    notes: tuple[str, ...] = ()
    start: int = 0
    end: int = 0


def oddities(text: str, zone: ZoneInfo, now: datetime) -> Iterator[Oddity]:
    """Yield what is odd in an expression that was accepted."""
    words = split_words(text)
    if words[0].text.startswith("@"):
        return
    fields = FIELDS[-len(words) :]
    for word, field in zip(words, fields, strict=True):
        yield from _uneven_steps(text, word, field)
    yield from _two_day_fields(text, words[-3], words[-1])
    yield from _clock_changes(text, words[-4], parse_expression(text), zone, now)


# --- steps -----------------------------------------------------------------------------------------------


def _uneven_steps(text: str, word: Word, field: Field) -> Iterator[Oddity]:
    """Yield a step over a whole field that does not come out even at its end."""
    (item, *others) = split_items(word)
    base, _, step_text = item.text.partition("/")
    last = 6 if field is WEEKDAY else field.high
    if others or not step_text or base not in ("*", f"{field.low}-{last}"):
        return
    step, length = int(step_text), last - field.low + 1
    if step == 1 or (field is not DAY and length % step == 0):
        return
    at = {"start": item.start, "end": item.start + len(item.text)}
    quoted = f"`{item.text}`"
    if step >= length:
        message = f"{quoted} is longer than the field: it matches only {field.low}"
        yield Oddity(message, f"write `{_replaced(text, word, str(field.low))}` if that is meant", **at)  # type: ignore[arg-type]
    elif field in (DAY, WEEKDAY):
        yield _uneven_days(quoted, field, step, at)
    else:
        latest = range(field.low, last + 1, step)[-1]
        rest = f"from {field.name} {latest} to {field.low} it is {length - latest + field.low}"
        evens = [n for n in (_divisor(step, length, -1), _divisor(step, length, 1)) if n]
        lines = " or ".join(f"`{_replaced(text, word, f'{base}/{n}')}`" for n in evens)
        message = f"{quoted} does not divide {_UNITS[field.name]}: {rest}"
        yield Oddity(message, f"write {lines} for even distances", **at)  # type: ignore[arg-type]


def _uneven_days(quoted: str, field: Field, step: int, at: dict[str, int]) -> Oddity:
    if field is WEEKDAY:
        message = f"{quoted} begins anew on Sunday: from Saturday to Sunday the steps are not even"
        return Oddity(message, "write the weekdays, such as `mon,wed,fri`", **at)  # type: ignore[arg-type]
    latest = range(1, 32, step)[-1]
    message = f"{quoted} begins anew in each month: day {latest} is followed by day 1"
    return Oddity(message, "write the days, such as `1,15`; crontab cannot count days over months", **at)  # type: ignore[arg-type]


def _divisor(step: int, length: int, direction: int) -> int | None:
    candidates = range(step + direction, length if direction > 0 else 0, direction)
    return next((number for number in candidates if length % number == 0), None)


def _replaced(text: str, word: Word, new: str) -> str:
    return text[: word.start] + new + text[word.start + len(word.text) :]


# --- the two day fields ----------------------------------------------------------------------------------


def _two_day_fields(text: str, day: Word, weekday: Word) -> Iterator[Oddity]:
    """Yield that either of two restricted day fields is enough, with the n-th weekday that may have been meant."""
    if day.text.startswith("*") or weekday.text.startswith("*"):
        return
    nth = _WEEKS.get(day.text)
    if nth is not None and weekday.text.isalnum() and len(weekday.text) in (1, 3):
        line = f"{text[: day.start]}*{text[day.start + len(day.text) : weekday.start]}{weekday.text}{nth}"
        help_ = f"write `{line}` for that one day of each month"
    else:
        help_ = "write `*` for the one that does not matter; crontab cannot ask for both"
    message = f"both day fields are restricted, and either is enough: `{day.text}` or `{weekday.text}`"
    yield Oddity(message, help_, start=day.start, end=weekday.start + len(weekday.text))


_WEEKS = {"1-7": "#1", "8-14": "#2", "15-21": "#3", "22-28": "#4", "25-31": "L"}


# --- changes of the clock --------------------------------------------------------------------------------


class ClockChange(NamedTuple):
    """A change of a zone's clock: wall-clock seconds from `first` up to `end` are skipped, or shown twice."""

    first: int
    end: int
    is_skipped: bool


def _clock_changes(text: str, hour: Word, crontab: Crontab, zone: ZoneInfo, now: datetime) -> Iterator[Oddity]:
    """Yield that clock changes skip or repeat an hour of the expression.

    One that has no certain hours follows real time, and nothing is odd about that.
    """
    if hour.text.startswith("*"):
        return
    found = [(change, wall) for change in clock_changes(zone, now) if (wall := _first_in(crontab, change)) is not None]
    skipped = next(((change, wall) for change, wall in found if change.is_skipped), None)
    repeated = next(((change, wall) for change, wall in found if not change.is_skipped), None)
    if not found:
        return
    parts = []
    if skipped:
        parts.append(f"skips {_clock(skipped[1])} on {_date(skipped[1])}")
    if repeated:
        parts.append(f"shows {_clock(repeated[1])} twice on {_date(repeated[1])}")
    message = f"the clock of {zone.key} {' and '.join(parts)}"
    notes = tuple(_effects(crontab, skipped, repeated))
    help_ = _other_hour(text, hour, zone, now)
    yield Oddity(message, help_, notes, hour.start, hour.start + len(hour.text))


def _effects(
    crontab: Crontab, skipped: tuple[ClockChange, int] | None, repeated: tuple[ClockChange, int] | None
) -> Iterator[str]:
    if crontab.real_time:
        if skipped:
            yield "none of its times in that hour comes on the first of these days"
        if repeated:
            yield "its times in the repeated hour come in both passes"
        return
    if skipped:
        yield f"when it is skipped the run comes at {_clock(skipped[0].end)}"
    if repeated:
        yield "when it is shown twice the run comes the first time only"


def _first_in(crontab: Crontab, change: ClockChange) -> int | None:
    wall = crontab.first_wall_time(change.first)
    return wall if wall is not None and wall < change.end else None


def _other_hour(text: str, word: Word, zone: ZoneInfo, now: datetime) -> str:
    """Return the help: the next hour that no change concerns, if the expression names one hour."""
    help_ = 'set `"timezone": "UTC"`, whose clock is never changed'
    if not word.text.isdigit():
        return help_
    for hour in (*range(int(word.text) + 1, 24), *range(int(word.text))):
        line = _replaced(text, word, str(hour))
        other = parse_expression(line)
        if all(_first_in(other, change) is None for change in clock_changes(zone, now)):
            return f"write another hour, such as `{line}`, or {help_}"
    return help_


def clock_changes(zone: ZoneInfo, now: datetime) -> tuple[ClockChange, ...]:
    """Return the changes of a zone's clock within `CLOCK_CHANGE_SPAN` of a moment."""
    return _changes(zone, to_epoch_seconds(now) // _HOUR_S)


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, hour: int) -> tuple[ClockChange, ...]:
    start = hour * _HOUR_S
    until = start + CLOCK_CHANGE_SPAN // timedelta(seconds=1)
    found = []
    former: OffsetPeriod | None = None
    for period in offset_periods(zone, start):
        if former is not None and former.offset != period.offset:
            before, after = period.start + former.offset, period.start + period.offset
            found.append(ClockChange(min(before, after), max(before, after), is_skipped=after > before))
        former = period
        if period.end >= until:
            return tuple(found)
    return tuple(found)


def _clock(wall: int) -> str:
    return f"{to_naive(wall):%H:%M}"


def _date(wall: int) -> str:
    return f"{to_naive(wall):%a %Y-%m-%d}"
