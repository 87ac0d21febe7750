"""Lines of Quartz, Spring and AWS EventBridge, written as crontab with the same slots, or not at all.

1. A `?` tells these grammars: in six fields the third or fifth is AWS's (minute first, year last), the fourth or
   sixth Quartz's or Spring's (seconds first); seven fields are Quartz's.
2. Quartz and AWS count weekdays from 1, Sunday; Spring and crontab from 0 or 7. Where a line may be of either and the
   two differ, both readings are told and none is suggested.
3. `a/b` is every b-th from a to the end of the field. It is written with the range, `a-59/b`: a star in its place would
   change which days match and what a clock change does.
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
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion
from jobscheduler.timetable.crontab.years import Years, parse_years

_NEAREST = "crontab cannot say the nearest working day"
_BEFORE_LAST = "days before the last one of a month cannot be counted"
_ITEM = re.compile(
    r"(?:\*|(?P<low>[0-9]+|[A-Za-z]{3})(?:-(?P<high>[0-9]+|[A-Za-z]{3}))?|(?=/))(?:/(?P<step>[0-9]{1,3}))?"
)
_NTH = re.compile(r"(?P<day>[0-9]|[A-Za-z]{3})(?:(?P<last>[Ll])|#(?P<nth>[1-5]))")


class Dialect(NamedTuple):
    """One grammar: its name, the number of its Sunday, whether a range may run over the end, how it counts."""

    name: str
    sunday: int
    wraps: bool
    counts: str


AWS = Dialect("AWS EventBridge", 1, True, "weekdays from 1, Sunday")
QUARTZ = Dialect("Quartz", 1, True, "weekdays from 1, Sunday")
SPRING = Dialect("Spring", 7, False, "weekdays from 0 or 7, Sunday")


def from_dialect(words: Sequence[str]) -> Suggestion | None:
    """Write a line with a `?` as crontab; None if there is no `?`, or it stands where no grammar has it.

    Raises:
        NoGuess: crontab cannot say it, or it can be read in two ways.

    """
    words = [shorten_names(word) for word in words]
    found = _dialects(words)
    if not found:
        return None
    readings: dict[str, Crontab] = {}
    told: list[tuple[Dialect, str, Years | None]] = []
    reason = NoSuggestion()
    for dialect in found:
        try:
            text, years = _crontab_fields(words, dialect)
            readings[text] = parse_expression(text)
        except (NoSuggestion, SyntaxFault) as fault:
            reason = fault if isinstance(fault, NoSuggestion) else reason
            continue
        told.append((dialect, text, years))
    if not told:
        raise reason
    if len(set(readings.values())) > 1:
        raise _ambiguous(told)
    return _suggestion(*told[0], sure=len(found) == 1)


def _dialects(words: Sequence[str]) -> tuple[Dialect, ...]:
    places = {number for number, word in enumerate(words) if word == "?"}
    if not places:
        return ()
    if len(words) == 6 and places <= {2, 4}:
        return (AWS,)
    if len(words) == 7 and places <= {3, 5}:
        return (QUARTZ,)
    if (len(words) == 6 and places <= {3, 5}) or (len(words) == 5 and places <= {2, 4}):
        return (QUARTZ, SPRING)
    raise NoSuggestion


def _ambiguous(told: Sequence[tuple[Dialect, str, Years | None]]) -> NoSuggestion:
    (_, quartz, _), (_, spring, _) = told
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
    """Write a line as crontab, field by field; give its years beside it, None if they are all."""
    fields = words[:6] if dialect is not AWS else words[:5]
    years = parse_years(words[len(fields)]) if len(words) > len(fields) else None
    if dialect is not SPRING and fields.count("?") != 1:
        raise NoSuggestion(notes=(one_day_field(dialect),))
    known = FIELDS[-len(fields) :]
    text = " ".join(_field(word, field, dialect) for word, field in zip(fields, known, strict=True))
    return simplest(text), years


def one_day_field(dialect: Dialect) -> str:
    """Say what a grammar asks of its two day fields."""
    return f"in {dialect.name} just one of the two day fields is `?`"


def _field(word: str, field: Field, dialect: Dialect) -> str:
    if word == "?" and field in (DAY, WEEKDAY):
        return "*"
    return ",".join(
        _weekday(item, dialect) if field is WEEKDAY else _item(item, field, dialect) for item in word.split(",")
    )


def _item(item: str, field: Field, dialect: Dialect) -> str:
    if field is DAY and item.upper() == "L":
        return "L"
    if field is DAY and "W" in item.upper():
        raise NoSuggestion(notes=(_NEAREST,))
    if field is DAY and item.upper().startswith("L-"):
        raise NoSuggestion(notes=(_BEFORE_LAST,))
    found = _match(item)
    step = _step(found["step"], field.high)
    if found["low"] is None:
        return "*" if step is None else f"*/{step}"
    low, high = _number(found["low"], field), _number(found["high"] or found["low"], field)
    if low > high:
        if not dialect.wraps:
            raise NoSuggestion
        return ",".join(map(str, [*range(low, field.high + 1), *range(field.low, high + 1)][:: step or 1]))
    if step is not None and found["high"] is None:
        return f"{found['low']}-{field.high}/{step}" if low + step <= field.high else found["low"]
    return item


def _weekday(item: str, dialect: Dialect) -> str:
    if item.upper() == "L" and dialect is not SPRING:
        return "6"  # the last day of the week
    if special := _NTH.fullmatch(item):
        day = _day(special["day"], dialect)
        return f"{day}L" if special["last"] else f"{day}#{special['nth']}"
    found = _match(item)
    step = _step(found["step"], 7)
    if found["low"] is None and step is None:
        return "*"
    first = _count(found["low"] or "1", dialect)
    last = _count(found["high"], dialect) if found["high"] else first if found["low"] and step is None else 7
    if dialect is SPRING and first == 7 and found["high"]:
        first = 0
    if first > last:
        if not dialect.wraps:
            raise NoSuggestion
        last += 7
    if step is None and found["high"] is None:
        return _day(found["low"], dialect)
    days = [_weekday_number(number, dialect) for number in range(first, last + 1, step or 1)]
    if step is None and len(days) > 2 and days == list(range(days[0], days[-1] + 1)):
        return f"{_day(found['low'], dialect)}-{_day(found['high'], dialect)}"
    return ",".join(map(str, days))


def _match(item: str) -> re.Match[str]:
    found = _ITEM.fullmatch(item)
    if found is None or not item:
        raise NoSuggestion
    return found


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
    """Give the number of a weekday in its dialect, for one given by number or name."""
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
    """Write one weekday: a name as it is, a number as crontab counts."""
    number = _weekday_number(_count(text, dialect), dialect)
    return text if text.isalpha() else str(number)


# --- Jenkins -------------------------------------------------------------------------------------------

_HASH = re.compile(r"[Hh](?:\((?P<low>[0-9]+)-(?P<high>[0-9]+)\))?(?:/(?P<step>[0-9]+))?")
JITTER = "to spread jobs over time, give them a `jitter`"


def from_jenkins(words: Sequence[str]) -> Suggestion | None:
    """Write a line with `H`, which stands for a number that Jenkins picks, with the first one; None without `H`.

    Raises:
        NoGuess: it restricts both day fields; Jenkins wants both to match, and here either may. Or Jenkins refuses it.

    """
    if len(words) != 5 or not any(_HASH.fullmatch(item) for word in words for item in word.split(",")):
        return None
    if not any(words[place] in ("*", "H/1", "h/1") for place in (2, 4)):
        raise NoSuggestion(notes=("in Jenkins a day must match both day fields, here one of the two",))
    fields = [
        ",".join(_without_hash(item, field) for item in word.split(","))
        for word, field in zip(words, FIELDS[1:], strict=True)
    ]
    return Suggestion(" ".join(fields), None, ("`H` lets Jenkins pick a number; this is the first one", JITTER))


def _without_hash(item: str, field: Field) -> str:
    found = _HASH.fullmatch(item)
    if found is None:
        return item
    highest = 28 if field is DAY else 6 if field is WEEKDAY else field.high
    low, high = found["low"] or str(field.low), found["high"] or str(highest)
    if not field.low <= int(low) <= int(high) <= field.high:
        raise NoSuggestion
    if found["step"] and not 1 <= int(found["step"]) <= int(high) - int(low) + 1:
        raise NoSuggestion
    return f"{low}-{high}/{found['step']}" if found["step"] else low


# --- the plainest way to write it ------------------------------------------------------------------------


def simplest(text: str, written: Sequence[str] = ()) -> str:
    """Write `*/5` for `0-59/5` in each field where it means the same, but for the fields that were `written` so."""
    words = text.split()
    fields = FIELDS[-len(words) :]
    for place, field in enumerate(fields):
        start = f"{field.low}-{6 if field is WEEKDAY else field.high}/"
        if words[place].startswith(start) and words[place] not in written:
            starred = [*words[:place], "*/" + words[place].removeprefix(start), *words[place + 1 :]]
            words = starred if _same(" ".join(starred), " ".join(words)) else words
    return " ".join(words)


def _same(one: str, other: str) -> bool:
    try:
        return parse_expression(one) == parse_expression(other)
    except SyntaxFault:
        return False
