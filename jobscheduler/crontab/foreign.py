"""Whole lines as other programs have them, written as crontab: what is around the fields, Quartz, words of English.

A rule is only there for what has one meaning. Where something was meant that cannot be said, there is no guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_MINUTES, _HOURS, _WEEKDAYS, _MONTHS = (
    60,
    24,
    "sun|mon|tue|wed|thu|fri|sat",
    ("jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"),
)


class NoGuess(Exception):
    """What was meant cannot be told. Nothing is put in its place: a wider schedule than was meant does harm."""


def rewritten(text: str) -> str:
    """Write a whole line as crontab where it is of a form known from elsewhere; else return it as it is.

    Raises:
        NoGuess: its form is known, but it means something that crontab cannot say.

    """
    text = _bare(text)
    for pattern, rule in _LINES:
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        if found:
            return rule(found)
    return _in_order(_from_quartz(text.split()))


def _bare(text: str) -> str:
    """Take off quotes around the line, a variable before it (the job's field `timezone` is for that), a comment."""
    text = text.strip().strip(_QUOTES).strip()
    text = re.sub(r"^(?:(?:CRON_)?TZ=\S+|#+)\s+", "", text)
    return re.sub(r"\s#(?:\s.*|[^0-9\s].*)?$", "", text).strip()


def _from_quartz(words: list[str]) -> list[str]:
    """Count weekdays from 0 where a `?` tells that the line is Quartz's, which counts them from 1, Sunday."""
    if len(words) not in {6, 7} or "?" not in words[3:6]:
        return words
    weekday = re.sub(r"(?<![#/0-9])[1-7](?![0-9])", lambda number: str(int(number[0]) - 1), words[5])
    return [*words[:5], weekday, *words[6:]]


def _in_order(words: list[str]) -> str:
    """Put a month and a weekday that stand in each other's place where they belong; write `last` as `L`."""
    if (
        len(words) >= 5
        and re.fullmatch(rf"(?:{_WEEKDAYS})", words[-2], re.I)
        and re.fullmatch(_MONTHS, words[-1], re.I)
    ):
        words[-2:] = [words[-1], words[-2]]
    if len(words) in {5, 6} and words[-3].lower() == "last":
        words[-3] = "L"
    words = [re.sub(r"(?i)#last$", "L", word) for word in words]
    return " ".join(words)


def _at(found: re.Match[str]) -> str:
    """A time of day."""
    hour, minute = int(found["hour"]), int(found["minute"])
    if hour >= _HOURS or minute >= _MINUTES:
        raise NoGuess
    return f"{minute} {hour} * * *"


def _every(found: re.Match[str]) -> str:
    """A distance in time, which crontab can only say where it divides the next larger unit."""
    count, unit = int(found["count"] or 1), found["unit"][0].lower()
    form, whole = {"s": ("*/{} * * * * *", 60), "m": ("*/{} * * * *", 60), "h": ("0 */{} * * *", 24)}[unit]
    if count == 0 or whole % count or count == whole:
        raise NoGuess
    return form.format(count)


def _nothing(found: re.Match[str]) -> str:
    raise NoGuess


_UNIT = r"(?P<unit>s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?)"
_LINES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(?:at\s+)?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?:\s+\*\s+\*(?:\s+\*(?:\s+\*)?)?)?", _at),
    (rf"@?every\s+(?P<count>[0-9]{{1,4}})?\s*{_UNIT}", _every),
    (r"@?every.*", _nothing),
)
