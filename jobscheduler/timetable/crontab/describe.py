"""Describe a schedule in English: `At 01:00 on Monday through Friday`.

The sentence describes exactly which wall-clock times match: a wrong sentence is worse than none. `dst` describes what
a clock change does to single slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jobscheduler.timetable.crontab.crontab import Crontab, DayRule

_MOST_TIMES = 6
MONTHS = (
    *("", "January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NTH = ("first", "second", "third", "fourth", "fifth")


def describe(crontab: Crontab) -> str:
    """Describe in English when a schedule is due, without a full stop."""
    if crontab.at_boot:
        return "Once after each boot of the host, when the service first starts"
    if crontab.manual:
        return "Never by itself, only when a person or a program runs it"
    times = _times(crontab)
    days = _days(crontab.day_rule) or (" every day" if times.startswith("At") and ":" in times else "")
    return times + days + _months(crontab.months, days)


def set_bits(mask: int) -> tuple[int, ...]:
    """Return the numbers of the set bits, in order."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


def join_words(parts: Sequence[str], last: str = "and") -> str:
    """Join words as a list: `a, b and c`."""
    return f" {last} ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def list_ranges(numbers: Sequence[int], names: Sequence[str] = (), last: str = "and") -> str:
    """Write a set of numbers or of their names: `1, 3 and 5 through 9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    names_of_runs = [[names[number] if names else str(number) for number in run] for run in runs]
    parts = [[f"{run[0]} through {run[-1]}"] if len(run) > 2 else run for run in names_of_runs]
    return join_words([part for run in parts for part in run], last)


def _times(crontab: Crontab) -> str:
    """Describe the times of day: a few as clock times, more from the finest unit to the hours."""
    seconds, minutes, hours = (set_bits(mask) for mask in (crontab.seconds, crontab.minutes, crontab.hours))
    if len(seconds) * len(minutes) * len(hours) <= _MOST_TIMES:
        ends = [""] if seconds == (0,) else [f":{second:02}" for second in seconds]
        return "At " + join_words([f"{h:02}:{m:02}{end}" for h in hours for m in minutes for end in ends])
    units = [("second", seconds, 60), ("minute", minutes, 60), ("hour", hours, 24)]
    return _units(units[1:] if seconds == (0,) else units)


def _units(units: list[tuple[str, tuple[int, ...], int]]) -> str:
    """Describe units from fine to coarse: `Every 5 minutes of hours 9 through 17`.

    A coarser unit with every value is left out when the unit before it recurs evenly.
    """
    name, numbers, size = units[0]
    step = _even_step(numbers, size)
    parts = [_every(name, step) if step else f"At {_numbered(name, numbers)}"]
    for name, numbers, size in units[1:]:
        following = _even_step(numbers, size)
        if not (step and following == 1):
            parts.append(_each(name, following) if following else _numbered(name, numbers))
            step = following
    return " of ".join(parts)


def _even_step(numbers: tuple[int, ...], size: int) -> int:
    """Return the step of numbers that recur evenly from 0, or 0."""
    step = numbers[1] if len(numbers) > 1 else size
    return step if size % step == 0 and numbers == tuple(range(0, size, step)) and step < size else 0


def _every(name: str, step: int) -> str:
    return f"Every {name}" if step == 1 else f"Every {step} {name}s"


def _each(name: str, step: int) -> str:
    return f"every {name}" if step == 1 else f"every {ordinal(step)} {name} from 0"


def _numbered(name: str, numbers: tuple[int, ...]) -> str:
    """Describe the numbers of one unit: `minute 5`, `minutes 5 and 10`, `every 7th minute from 0 through 56`."""
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) > 3 and len(steps) == 1 and steps != {1}:
        return f"every {ordinal(steps.pop())} {name} from {numbers[0]} through {numbers[-1]}"
    return f"{name}{'s' if len(numbers) > 1 else ''} {list_ranges(numbers)}"


def ordinal(number: int) -> str:
    """Write a number as an ordinal: `2nd`, `11th`, `23rd`."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _days(rule: DayRule) -> str:
    """Describe the matching days; empty for every day."""
    dates, weekdays = _dates(rule), _weekdays(rule)
    if not rule.both and not (dates and weekdays):
        return ""  # either field is enough, and one of them is every day
    link = " if that is " if rule.both else " or on "
    text = (link if dates and weekdays else "").join((f"{dates} of the month" if dates else "", weekdays))
    return f" on {text}" if text else ""


def _months(mask: int, days: str) -> str:
    months = set_bits(mask)
    comma = "," if " or on " in days or " if that is " in days else ""  # the months apply to both alternatives
    return "" if len(months) == 12 else f"{comma} in {list_ranges(months, MONTHS)}"


def _dates(rule: DayRule) -> str:
    """Describe the days of the month; empty for all of them."""
    days = set_bits(rule.days)
    if len(days) == 31:
        return ""
    last = ["the last day"] if rule.last_day else []
    return join_words([*([_numbered("day", days)] if days else []), *last])


def _weekdays(rule: DayRule) -> str:
    """Describe the weekdays from Monday on; empty for all of them."""
    weekdays = set_bits(rule.weekdays)
    if len(weekdays) == 7:
        return ""
    from_monday = sorted(weekday or 7 for weekday in weekdays)
    nths = [
        f"the {_NTH[week]} {WEEKDAYS[weekday]} of the month"
        for week, mask in enumerate(rule.nth_weekdays)
        for weekday in set_bits(mask)
    ]
    lasts = [f"the last {WEEKDAYS[weekday]} of the month" for weekday in set_bits(rule.last_weekdays)]
    return join_words([*([list_ranges(from_monday, (*WEEKDAYS, "Sunday"))] if weekdays else []), *nths, *lasts])
