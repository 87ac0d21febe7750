"""Fixes for one item of a refused line: a number, a range, a step, a name, a form of other programs.

Each takes a line and its fault and returns a better line. It raises NoSuggestion if the meaning is not clear.
"""

from __future__ import annotations

import re

from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.line_fixes import fault_of, is_typo, move_to_field, only_candidate, replace_word
from jobscheduler.timetable.crontab.parser import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    MONTH_NAMES,
    SECOND,
    WEEKDAY,
    WEEKDAY_NAMES,
    Field,
    SyntaxFault,
    Word,
    split_words,
)
from jobscheduler.timetable.crontab.suggestion import NoSuggestion
from jobscheduler.timetable.crontab.unknown_items import NO_FORM, find_form


def fix_empty(text: str, fault: SyntaxFault) -> str:
    """Drop the empty items of a list: `1,,5` is `1,5`."""
    items = ",".join(filter(None, fault.word.text.split(",")))
    if not items:
        raise NoSuggestion
    return replace_word(text, fault.word, items)


def fix_single_step(text: str, fault: SyntaxFault) -> str:
    """Write the range: minute `5/20` is `5-59/20`. A star would change the day rule and what clock changes do."""
    field = fault.field or WEEKDAY
    first, step = fault.word.text.split("/")
    low = field.names[first.lower()] if first.lower() in field.names else int(first) if first.isdigit() else -1
    if not field.low <= low <= field.high or int(step) < 1:
        raise NoSuggestion
    if field is WEEKDAY and low == 7:  # Sunday as the last day of the week, or as the first
        raise NoSuggestion
    if low + int(step) > field.high:
        return replace_word(text, fault.word, first)
    if field is WEEKDAY:
        return replace_word(text, fault.word, _weekday_step(first, low, int(step), text, fault))
    return replace_word(text, fault.word, f"{first}-{field.high}/{step}")


def _weekday_step(first: str, low: int, step: int, text: str, fault: SyntaxFault) -> str:
    """Write the steps up to Saturday.

    Raises:
        NoSuggestion: going on to Sunday, 7, makes a difference. Programs differ there.

    """
    until = {end: f"{first}-{end if first.isdigit() else WEEKDAY_NAMES[end % 7]}/{step}" for end in (6, 7)}
    if low and (7 - low) % step == 0:
        saturday, sunday = (replace_word(text, fault.word, until[end]) for end in (6, 7))
        if fault_of(saturday) or fault_of(sunday):
            raise NoSuggestion
        raise NoSuggestion(f"write `{saturday}` for steps up to Saturday, `{sunday}` for steps up to Sunday")
    return until[6]


def fix_backwards(text: str, fault: SyntaxFault) -> str:
    """Wrap around the end of the field, as other crons do: hour `22-2` is `22-23,0-2`, `22-2/2` is `22,0,2`."""
    field = fault.field or WEEKDAY
    span, _, step = fault.word.text.partition("/")
    low, high = span.split("-")
    first, last = (field.names.get(end.lower(), 0) if end.isalpha() else int(end) for end in (low, high))
    start = 1 if field is WEEKDAY else field.low
    if field is WEEKDAY and first == 7:
        return replace_word(text, fault.word, f"0-{high}" + (f"/{step}" if step else ""))
    if step:
        numbers = [*range(first, field.high + 1), *range(start, last + 1)][:: int(step) or 1]
        return replace_word(text, fault.word, ",".join(map(str, numbers)))
    top = _as_written(field, field.high, low)
    head = low if first == field.high else f"{low}-{top}"
    tail = high if last == start else f"{_as_written(field, start, high)}-{high}"
    return replace_word(text, fault.word, f"{head},{tail}")


def _as_written(field: Field, number: int, like: str) -> str:
    """Write a number as a name if `like` is a name."""
    if not like.isalpha():
        return str(number)
    return (WEEKDAY_NAMES[number % 7]) if field is WEEKDAY else MONTH_NAMES[number - 1]


def fix_step(text: str, fault: SyntaxFault) -> str:
    """Cut a step that no number can be to the field's length: minute `*/9999999999` is `*/60`, which matches only 0."""
    field = fault.field or WEEKDAY
    base, _, step = fault.word.text.partition("/")
    if int(step) == 0:
        raise NoSuggestion
    return replace_word(text, fault.word, f"{base}/{field.high - field.low + 1}")


def fix_name(text: str, fault: SyntaxFault) -> str:
    """Move the name to its own field, else find the name with the closest spelling: month `fbe` is `feb`."""
    field = fault.field or WEEKDAY
    names = re.findall(r"[A-Za-z]{3}", fault.word.text)
    other = next((f for f in (MONTH, WEEKDAY) if all(name.lower() in f.names for name in names)), None)
    if other is not None:
        return move_to_field(text, fault, other)
    if not field.names:
        raise NoSuggestion
    wrong = next(name for name in names if name.lower() not in field.names)
    right = only_candidate(name for name in field.names if is_typo(wrong.lower(), name))
    return replace_word(text, fault.word, fault.word.text.replace(wrong, right))


def fix_range(text: str, fault: SyntaxFault) -> str:
    """Write the 60th minute or the 24th hour as the 0th where that is the same; cut a range: hour `0-24` is `0-23`.

    A number is never replaced by the nearest one: a 32nd day is not the 31st.
    """
    field = fault.field or WEEKDAY
    span, slash, step = fault.word.text.partition("/")
    low, dash, high = span.partition("-")
    if field in (SECOND, MINUTE, HOUR) and span == str(field.high + 1) and not slash:
        return _over_the_end(text, fault.word, field)
    if not (dash and low.isdigit() and high.isdigit()) or not field.low <= int(low) <= field.high < int(high):
        raise NoSuggestion
    numbers = range(int(low), min(int(high), 10 * field.high) + 1, int(step or 1) or 1)
    if not _is_unambiguous([number for number in numbers if number > field.high], int(low), field):
        raise NoSuggestion
    return replace_word(text, fault.word, f"{low}-{field.high}{slash}{step}")


def _is_unambiguous(over: list[int], low: int, field: Field) -> bool:
    """Return whether numbers beyond the field add nothing: there are none, or only the 60th of a range from 0."""
    return not over or (over == [field.high + 1] and low == field.low == 0 and field is not WEEKDAY)


def _over_the_end(text: str, word: Word, field: Field) -> str:
    """Write the first number of a field for the one after its last, if every larger unit is a star."""
    larger_units = [field_word.text for field_word in split_words(text) if field_word.start > word.start]
    if any(field_word != "*" for field_word in larger_units):
        raise NoSuggestion
    return replace_word(text, word, str(field.low))


_DAYS_OF_MONTH = re.compile(r"([0-7]|[A-Za-z]{3})-([0-7]|[A-Za-z]{3})(#[1-5]|[Ll])")


def _each_day(match: re.Match[str]) -> str:
    """Write each day of a range with what follows it: `mon-wed#2` is `mon#2,tue#2,wed#2`."""
    first, last = (
        int(end) if end.isdigit() else WEEKDAY.names.get(end.lower(), WEEKDAY.high + 1) for end in match.groups()[:2]
    )
    last = 7 if last == 0 < first else last
    if not first <= last <= WEEKDAY.high:
        raise NoSuggestion
    days = (str(day) if match[1].isdigit() else WEEKDAY_NAMES[day % 7] for day in range(first, last + 1))
    return ",".join(f"{day}{match[3].upper()}" for day in days)


def fix_form(text: str, fault: SyntaxFault) -> str:
    """Write the replacement of a known form; cut full names of months and weekdays."""
    field, item = fault.field or WEEKDAY, fault.word.text
    if (shorter := shorten_names(item)) != item:
        return replace_word(text, fault.word, shorter)
    if field is WEEKDAY and (match := _DAYS_OF_MONTH.fullmatch(item)):
        return replace_word(text, fault.word, _each_day(match))
    form = find_form(item, field)
    if form is NO_FORM or form.is_ambiguous:
        raise NoSuggestion
    if form.suggestion is None:
        return move_to_field(text, fault, WEEKDAY)
    last = "L" if field is DAY else "6" if field is WEEKDAY else str(field.high)
    match = re.fullmatch(form.pattern, item, re.DOTALL)
    replacement = match.expand(form.suggestion) if match else form.suggestion
    for name, value in {"{low}": str(field.low), "{high}": str(field.high), "{last}": last}.items():
        replacement = replacement.replace(name, value)
    return replace_word(text, fault.word, replacement)
