"""Parse crontab expressions: text -> `Crontab`.

The grammar is that of Debian's cron (`entry.c`: `get_list`, `get_range`, `get_number`), without the forms that Debian's
cron accepts and then never runs or partly ignores. Added are a leading field of seconds, `L`, `5L`, `5#3` and weekday
ranges that end in Sunday. Parsing is strict and short. Only when it fails, `suggest` works out the probable meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from jobscheduler.model import AT_BOOT, MANUAL
from jobscheduler.timetable.crontab.crontab import Crontab, DayRule

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MAX_SCHEDULE_CHARS = 1000  # longest text that is parsed; Debian's cron limits a field to this (`MAX_TEMPSTR`)
MAX_STEP = 2**31 - 1


class Field(NamedTuple):
    """One field: its name, its smallest and largest number, and the numbers of its names."""

    name: str
    low: int
    high: int
    names: dict[str, int]


SECOND = Field("second", 0, 59, {})
MINUTE = Field("minute", 0, 59, {})
HOUR = Field("hour", 0, 23, {})
DAY = Field("day of the month", 1, 31, {})
MONTH = Field("month", 1, 12, {name: number for number, name in enumerate(MONTH_NAMES, 1)})
WEEKDAY = Field("weekday", 0, 7, {name: number for number, name in enumerate(WEEKDAY_NAMES)})
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class Word(NamedTuple):
    """A word of the text and its start."""

    text: str
    start: int


class SyntaxFault(Exception):
    """The first fault of a line: its kind and the word; `field` is None when the fault concerns the whole line."""

    def __init__(self, kind: str, word: Word, field: Field | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.word = word
        self.field = field


@dataclass
class _Days:
    """Requests of the two day fields beyond plain numbers."""

    last_day: bool = False
    last_weekdays: int = 0
    nth_weekdays: tuple[int, ...] = (0, 0, 0, 0, 0)


_NO_DAYS = DayRule(0, False, 0, 0, (0, 0, 0, 0, 0), True)
SLOTLESS = {
    AT_BOOT: Crontab(0, 0, 0, 0, _NO_DAYS, False, at_boot=True),
    MANUAL: Crontab(0, 0, 0, 0, _NO_DAYS, False, manual=True),
}
ALL_MACROS = (*MACROS, *SLOTLESS)

_ITEM = re.compile(
    r"(?:(?P<star>\*)|(?P<low>[0-9]+|[A-Za-z]{3})(?:-(?P<high>[0-9]+|[A-Za-z]{3}))?)(?:/(?P<step>[0-9]+))?"
)
_LAST = re.compile(r"(?P<day>[0-9]+|[A-Za-z]{3})[Ll]")
_NTH = re.compile(r"(?P<day>[0-9]+|[A-Za-z]{3})#(?P<nth>[0-9]+)")
_ODD = re.compile(r"[^\t -~]")
_WORD = re.compile(r"[^ \t]+")


def split_words(text: str) -> list[Word]:
    """Split a line at its blanks."""
    return [Word(match.group(), match.start()) for match in _WORD.finditer(text)]


@lru_cache(maxsize=16_384)
def parse_expression(text: str) -> Crontab:
    """Parse an expression or macro.

    Raises:
        SyntaxFault: the text is not accepted.

    """
    if len(text) > MAX_SCHEDULE_CHARS:
        raise SyntaxFault("long", Word(text, 0))
    if odd := _ODD.search(text):
        raise SyntaxFault("character", Word(odd.group(), odd.start()))
    words = split_words(text)
    if words and words[0].text.startswith("@"):
        return _macro(words)
    if len(words) not in (5, 6):
        raise SyntaxFault("count", Word(text.strip(" \t"), words[0].start if words else 0))
    crontab = _expression([Word("0", words[0].start), *words] if len(words) == 5 else words)
    if not crontab.has_any_date():
        raise SyntaxFault("never", Word(text[words[-3].start :].rstrip(" \t"), words[-3].start))
    return crontab


def _macro(words: list[Word]) -> Crontab:
    name = words[0].text
    if len(words) > 1 or name not in ALL_MACROS:
        raise SyntaxFault("macro", Word(name, words[0].start))
    return SLOTLESS.get(name) or parse_expression(MACROS[name])


def _expression(words: list[Word]) -> Crontab:
    days = _Days()
    masks = [_list(word, field, days) for word, field in zip(words, FIELDS, strict=True)]
    second, minute, hour, day, month, weekday = masks
    stars = [word.text.startswith("*") for word in words]
    rule = DayRule(
        days=day,
        last_day=days.last_day,
        weekdays=_merge_sundays(weekday),
        last_weekdays=days.last_weekdays,
        nth_weekdays=days.nth_weekdays,  # type: ignore[arg-type]
        both=stars[3] or stars[5],
    )
    return Crontab(second, minute, hour, month, rule, real_time=stars[1] or stars[2])


def _merge_sundays(mask: int) -> int:
    return (mask | mask >> 7) & 0b1111111


def _list(word: Word, field: Field, days: _Days) -> int:
    mask = 0
    for item in split_items(word):
        if not item.text:
            raise SyntaxFault("empty", word, field)
        mask |= _item(item, field, days)
    return mask


def split_items(word: Word) -> Iterator[Word]:
    """Split a field at its commas."""
    start = word.start
    for text in word.text.split(","):
        yield Word(text, start)
        start += len(text) + 1


def _item(item: Word, field: Field, days: _Days) -> int:
    if field is DAY and item.text in ("L", "l"):
        days.last_day = True
        return 0
    if field is WEEKDAY and (match := _LAST.fullmatch(item.text)):
        days.last_weekdays |= 1 << _number(match["day"], item, field) % 7
        return 0
    if field is WEEKDAY and (match := _NTH.fullmatch(item.text)):
        return _nth(match, item, days)
    if not (match := _ITEM.fullmatch(item.text)):
        raise SyntaxFault("form", item, field)
    if match["step"] and not match["star"] and not match["high"]:
        raise SyntaxFault("single step", item, field)
    return _range(match, item, field)


def _nth(match: re.Match[str], item: Word, days: _Days) -> int:
    weekday = _number(match["day"], item, WEEKDAY) % 7
    if match["nth"] not in ("1", "2", "3", "4", "5"):
        raise SyntaxFault("nth", item, WEEKDAY)
    masks = list(days.nth_weekdays)
    masks[int(match["nth"]) - 1] |= 1 << weekday
    days.nth_weekdays = tuple(masks)
    return 0


def _range(match: re.Match[str], item: Word, field: Field) -> int:
    if match["star"]:
        low, high = field.low, field.high
    else:
        low = _number(match["low"], item, field)
        high = _number(match["high"] or match["low"], item, field)
    if field is WEEKDAY and high == 0 < low:
        high = 7
    if low > high:
        raise SyntaxFault("backwards", item, field)
    step = int(match["step"] or 1)
    if not 1 <= step <= MAX_STEP:
        raise SyntaxFault("step", item, field)
    return sum(1 << number for number in range(low, high + 1, step))


def _number(text: str, item: Word, field: Field) -> int:
    if not text.isdigit():
        if text.lower() not in field.names:
            raise SyntaxFault("name", item, field)
        return field.names[text.lower()]
    if not field.low <= int(text) <= field.high:
        raise SyntaxFault("range", item, field)
    return int(text)
