"""Write the fields of an APScheduler trigger as a crontab expression with the same times of day (pure).

There all fields have to match. Here day of the month and weekday are alternatives, unless one of them begins with `*`:

1. A weekday with a place in the month (`2nd tue`) is an item of the weekday field here: `tue#2`.
2. Days that are whole weeks of the month, with weekdays, become such items: `1-7` with `mon` is `mon#1`.
3. Else one of the fields has to begin with a star that adds nothing: `*/31` is the first day alone, `*/7` is Sunday.
4. Where neither has that day, no expression says it.

The masks of the result are compared with the fields for each kind of month, so a wrong expression is never returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobscheduler.imports.apscheduler_fields import WEEKDAYS, Field, Fields, position_text
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab, ScheduleError
from jobscheduler.util.text import quote

_WEEK_STARTS = (1, 8, 15, 22, 29)
_SUNDAY = 6
_LAST_DAY_OF_MONTH = 31


def expression(fields: Fields) -> str:
    """Return the expression; years are not in it.

    Raises:
        NotExpressible: no expression says the same.

    """
    if fields["week"].is_restricted:
        text = ",".join(item.text for item in fields["week"].items)
        message = f"its trigger counts weeks of the year (`week={quote(text)[1:-1]}`), which no schedule does here"
        raise NotExpressible(message, "write a job for every week, and have the command look at `date +%V`")
    day, weekday = _day_fields(fields["day"], fields["day_of_week"])
    times = (_time_field(fields[name]) for name in ("second", "minute", "hour"))
    text = " ".join((*times, day, _time_field(fields["month"]), weekday))
    try:
        parsed = crontab.parse(text)
    except ScheduleError as error:
        raise NotExpressible(f"as `{text}` its schedule is refused: {error}", error.help or "") from None
    if parsed.masks() != _masks(fields):
        raise NotExpressible(f"`{text}` would mean other days than its trigger", "write its schedule by hand")
    return text


def _time_field(field: Field) -> str:
    """Return the items; those with a star stand first, so that the field follows the clock as there."""
    if not field.is_restricted:
        return "*"
    texts = dict.fromkeys(item.text for item in field.items)
    return ",".join(sorted(texts, key=lambda text: not text.startswith("*")))


def _day_fields(day: Field, weekday: Field) -> tuple[str, str]:
    """Return day of the month and weekday."""
    if not day.is_restricted:
        return "*", _weekday_text(weekday)
    if not weekday.is_restricted:
        return _days_of_any_weekday(day)
    positions = {one for one in day.positions if one[0] in weekday.values}
    if not day.values and not day.has_last_day:
        if not positions:
            raise NotExpressible("`day` and `day_of_week` name different weekdays: it is never due")
        return "*", _position_texts(positions)
    if not day.has_last_day and (weeks := _whole_weeks(day.values)):
        return "*", _position_texts(positions | {(one, week) for one in weekday.values for week in weeks})
    both = _both(day, weekday)
    if positions or both is None:
        raise _both_error(day, weekday)
    return both


def _days_of_any_weekday(day: Field) -> tuple[str, str]:
    """Return days with places of weekdays as alternatives: then neither field begins with a star."""
    if not day.positions:
        return _time_field(day), "*"
    days = [*_numbers(day.values), *(["L"] if day.has_last_day else [])]
    return ",".join(days) or "*", _position_texts(day.positions)


def _whole_weeks(days: frozenset[int]) -> list[int]:
    """Return the weeks of the month that the days are, from 1; nothing if there are other days."""
    weeks = {(day - 1) // 7 for day in days}
    whole = {day for week in weeks for day in range(_WEEK_STARTS[week], min(_WEEK_STARTS[week] + 7, 32))}
    return [week + 1 for week in sorted(weeks)] if whole == days else []


def _both(day: Field, weekday: Field) -> tuple[str, str] | None:
    """Return fields of which one begins with a star, None if neither can."""
    days = _time_field(day)
    if days.startswith("*"):
        return days, _weekday_text(weekday)
    if 1 in day.values:
        rest = [*_numbers(day.values - {1}), *(["L"] if day.has_last_day else [])]
        return ",".join((f"*/{_LAST_DAY_OF_MONTH}", *rest)), _weekday_text(weekday)
    if _SUNDAY in weekday.values:
        others = ",".join(WEEKDAYS[one] for one in sorted(weekday.values - {_SUNDAY}))
        return days, f"*/7,{others}" if others else "*/7"
    return None


def _both_error(day: Field, weekday: Field) -> NotExpressible:
    days, weekdays = _time_field(day), _weekday_text(weekday)
    message = (
        f"`day` ({quote(days)[1:-1]}) and `day_of_week` ({weekdays}) both have to match there, "
        "and no schedule here says that of these days"
    )
    numbers = "|".join(str(one + 1) for one in sorted(weekday.values))
    test = f'case "$(date +%u)" in {numbers}) ;; *) exit 0;; esac; ...'
    return NotExpressible(message, f"write the schedule without the weekday, and begin the command with `{test}`")


def _weekday_text(weekday: Field) -> str:
    """Return weekdays by name, which mean the same in both; neighbours as a range."""
    if not weekday.is_restricted:
        return "*"
    return ",".join(
        WEEKDAYS[first] if first == last else f"{WEEKDAYS[first]}{'-' if last > first + 1 else ','}{WEEKDAYS[last]}"
        for first, last in _runs(weekday.values)
    )


def _numbers(values: Iterable[int]) -> list[str]:
    return [str(first) if first == last else f"{first}-{last}" for first, last in _runs(values)]


def _runs(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each row of neighbours."""
    found = sorted(values)
    starts = [one for one in found if one - 1 not in found]
    ends = [one for one in found if one + 1 not in found]
    yield from zip(starts, ends, strict=True)


def _position_texts(positions: Iterable[tuple[int, int]]) -> str:
    return ",".join(map(position_text, sorted(positions, key=lambda one: (one[1] or 6, one[0]))))


# --- what the expression has to mean -------------------------------------------------------------------------


def _masks(fields: Fields) -> tuple[int, ...]:
    """Return the masks that the expression has to have, as `Crontab.masks` gives them."""
    times = (_mask(fields[name].values) for name in ("second", "minute", "hour", "month"))
    months = (_days_mask(fields, length, first) for length in range(28, 32) for first in range(7))
    return (*times, *months)


def _mask(values: Iterable[int]) -> int:
    return sum(1 << value for value in values)


def _days_mask(fields: Fields, length: int, first: int) -> int:
    """Return the matching days of a month; `first` is the weekday of its first day, 0 for Sunday."""
    day, weekdays = fields["day"], fields["day_of_week"].values
    days, positions = day.values, day.positions
    matching = 0
    for number in range(1, length + 1):
        weekday = (first + number - 2) % 7
        places = {(weekday, (number - 1) // 7 + 1)} | ({(weekday, 0)} if number > length - 7 else set())
        is_day = number in days or (day.has_last_day and number == length) or bool(places & positions)
        if is_day and weekday in weekdays:
            matching |= 1 << number
    return matching


def has_star_for_both(parsed: Crontab) -> bool:
    """Return whether a star is there only to have both day fields match."""
    rule = parsed.day_rule
    every_day = (1 << _LAST_DAY_OF_MONTH + 1) - 2
    return rule.both and rule.days != every_day and rule.weekdays != 127
