"""Translate lines of Quartz, Spring and AWS EventBridge to crontab with the same slots, or not at all.

1. The position of a `?` identifies the grammar: in six fields the third or fifth is AWS's (minute first, year last),
   the fourth or sixth Quartz's or Spring's (seconds first). Seven fields are Quartz's.
2. Quartz and AWS count weekdays from 1, Sunday; Spring and crontab from 0 or 7. Where a line fits both and the
   readings differ, the help names both readings and none is suggested.
3. `a/b` is every b-th value from a to the end of the field. It is written as a range, `a-59/b`. A star would change
   the day rule and the effect of clock changes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.parser import (
    DAY,
    FIELDS,
    WEEKDAY,
    WEEKDAY_NAMES,
    Field,
    SyntaxFault,
    parse_expression,
)
from jobscheduler.timetable.crontab.simplest_form import simplest
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion
from jobscheduler.timetable.crontab.years import Years, parse_years

_NEAREST = "crontab cannot say the nearest working day"
_BEFORE_LAST = "days before the last one of a month cannot be counted"
_ITEM = re.compile(
    r"(?:\*|(?P<low>[0-9]+|[A-Za-z]{3})(?:-(?P<high>[0-9]+|[A-Za-z]{3}))?|(?=/))(?:/(?P<step>[0-9]{1,3}))?"
)
_NTH = re.compile(r"(?P<day>[0-9]|[A-Za-z]{3})(?:(?P<last>[Ll])|#(?P<nth>[1-5]))")


class Dialect(NamedTuple):
    """One grammar: its name, its number for Sunday, whether a range may wrap around, and how it counts weekdays."""

    name: str
    sunday: int
    wraps: bool
    counts: str


AWS = Dialect("AWS EventBridge", 1, True, "weekdays from 1, Sunday")
QUARTZ = Dialect("Quartz", 1, True, "weekdays from 1, Sunday")
SPRING = Dialect("Spring", 7, False, "weekdays from 0 or 7, Sunday")


def from_dialect(words: Sequence[str]) -> Suggestion | None:
    """Translate a line with a `?` to crontab; None if it has no `?`.

    Raises:
        NoSuggestion: crontab cannot express the line, it has two readings, or no grammar has a `?` there.

    """
    words = [shorten_names(word) for word in words]
    dialects = _dialects(words)
    if not dialects:
        return None
    readings: dict[str, Crontab] = {}
    translations: list[tuple[Dialect, str, Years | None]] = []
    reason = NoSuggestion()
    for dialect in dialects:
        try:
            text, years = _crontab_fields(words, dialect)
            readings[text] = parse_expression(text)
        except (NoSuggestion, SyntaxFault) as fault:
            reason = fault if isinstance(fault, NoSuggestion) else reason
            continue
        translations.append((dialect, text, years))
    if not translations:
        raise reason
    if len(set(readings.values())) > 1:
        raise _ambiguous(translations)
    return _suggestion(*translations[0], sure=len(dialects) == 1)


def _dialects(words: Sequence[str]) -> tuple[Dialect, ...]:
    positions = {number for number, word in enumerate(words) if word == "?"}
    if not positions:
        return ()
    if len(words) == 6 and positions <= {2, 4}:
        return (AWS,)
    if len(words) == 7 and positions <= {3, 5}:
        return (QUARTZ,)
    if (len(words) == 6 and positions <= {3, 5}) or (len(words) == 5 and positions <= {2, 4}):
        return (QUARTZ, SPRING)
    raise NoSuggestion


def _ambiguous(translations: Sequence[tuple[Dialect, str, Years | None]]) -> NoSuggestion:
    (_, quartz, _), (_, spring, _) = translations
    return NoSuggestion(
        f"write `{quartz}` if its weekdays count from 1, Sunday, as in Quartz, or `{spring}` if they count from 0 or "
        "7, Sunday, as in Spring and here",
        ("the weekday can be read in two ways",),
    )


def _suggestion(dialect: Dialect, text: str, years: Years | None, *, sure: bool) -> Suggestion:
    order = "minute first, year last" if dialect is AWS else "seconds first"
    notes = (f"read as a line of {dialect.name}: {order}, {dialect.counts}",) if sure else ()
    if years is not None:
        raise NoSuggestion(years.help_with(text), (*notes, years.note))
    return Suggestion(text, None, notes)


def _crontab_fields(words: Sequence[str], dialect: Dialect) -> tuple[str, Years | None]:
    """Translate a line field by field. Return it with its years, None for all years."""
    fields = words[:6] if dialect is not AWS else words[:5]
    years = parse_years(words[len(fields)]) if len(words) > len(fields) else None
    if dialect is not SPRING and fields.count("?") != 1:
        raise NoSuggestion(notes=(one_day_field(dialect),))
    known = FIELDS[-len(fields) :]
    text = " ".join(_field(word, field, dialect) for word, field in zip(fields, known, strict=True))
    return simplest(text), years


def one_day_field(dialect: Dialect) -> str:
    """Describe the rule of a grammar for its two day fields."""
    return f"in {dialect.name} just one of the two day fields is `?`"


def _field(word: str, field: Field, dialect: Dialect) -> str:
    if word == "?" and field in (DAY, WEEKDAY):
        return "*"
    return ",".join(
        _weekday(item, dialect) if field is WEEKDAY else _item(item, field, dialect) for item in word.split(",")
    )


def _item(item: str, field: Field, dialect: Dialect) -> str:
    """Translate an item of another field than weekdays: minute `10/15` is `10-59/15`, hour `22-1` is `22,23,0,1`."""
    if field is DAY and item.upper() == "L":
        return "L"
    if field is DAY and "W" in item.upper():
        raise NoSuggestion(notes=(_NEAREST,))
    if field is DAY and item.upper().startswith("L-"):
        raise NoSuggestion(notes=(_BEFORE_LAST,))
    match = _match(item)
    step = _step(match["step"], field.high)
    if match["low"] is None:
        return "*" if step is None else f"*/{step}"
    low, high = _number(match["low"], field), _number(match["high"] or match["low"], field)
    if low > high:
        if not dialect.wraps:
            raise NoSuggestion
        return ",".join(map(str, [*range(low, field.high + 1), *range(field.low, high + 1)][:: step or 1]))
    if step is not None and match["high"] is None:
        return f"{match['low']}-{field.high}/{step}" if low + step <= field.high else match["low"]
    return item


def _weekday(item: str, dialect: Dialect) -> str:
    """Translate an item of the weekdays: in Quartz `2-6` is `1-5`, `6L` is `5L`, and `7-2` is `6,0,1`."""
    if item.upper() == "L" and dialect is not SPRING:
        return "6"  # the last day of the week
    if special := _NTH.fullmatch(item):
        day = _day(special["day"], dialect)
        return f"{day}L" if special["last"] else f"{day}#{special['nth']}"
    match = _match(item)
    step = _step(match["step"], 7)
    if match["low"] is None and step is None:
        return "*"
    first = _count(match["low"] or "1", dialect)
    last = _count(match["high"], dialect) if match["high"] else first if match["low"] and step is None else 7
    if dialect is SPRING and first == 7 and match["high"]:
        first = 0
    if first > last:
        if not dialect.wraps:
            raise NoSuggestion
        last += 7
    if step is None and match["high"] is None:
        return _day(match["low"], dialect)
    days = [_weekday_number(number, dialect) for number in range(first, last + 1, step or 1)]
    if step is None and len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{_day(match['low'], dialect)}-{_day(match['high'], dialect)}"
    return ",".join(map(str, days))


def _match(item: str) -> re.Match[str]:
    match = _ITEM.fullmatch(item)
    if match is None or not item:
        raise NoSuggestion
    return match


def _step(text: str | None, largest: int) -> int | None:
    if text is None:
        return None
    if not 1 <= int(text) <= largest:
        raise NoSuggestion
    return int(text)


def _number(text: str, field: Field) -> int:
    number = field.names.get(text.lower(), -1) if text.isalpha() else int(text)
    if not field.low <= number <= field.high:
        raise NoSuggestion
    return number


def _count(text: str, dialect: Dialect) -> int:
    """Return the number of a weekday in its dialect, from a number or name."""
    if text.isalpha():
        if text.lower() not in WEEKDAY_NAMES:
            raise NoSuggestion
        index = WEEKDAY_NAMES.index(text.lower())
        return index + 1 if dialect.sunday == 1 else index or 7
    if not (0 if dialect is SPRING else 1) <= int(text) <= 7:
        raise NoSuggestion
    return int(text)


def _weekday_number(number: int, dialect: Dialect) -> int:
    return (number - 1) % 7 if dialect.sunday == 1 else number % 7


def _day(text: str, dialect: Dialect) -> str:
    """Write one weekday: keep a name, convert a number to the crontab numbering."""
    number = _weekday_number(_count(text, dialect), dialect)
    return text if text.isalpha() else str(number)
