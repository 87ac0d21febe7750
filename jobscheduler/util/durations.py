"""Durations: the one parser, and the ways to write one.

A job file, an option and a task's field mean the same by the same text: seconds, or `90s`, `15m`, `1h30m`, `2d`.
"""

from __future__ import annotations

import re
from itertools import pairwise

from jobscheduler.util.text import quote

MAX_DURATION_S = 3650 * 86400.0  # ten years

HELP = 'write seconds, or text such as `"90s"`, `"15m"`, `"1h30m"`, `"2d"`'

_MAX_TEXT_CHARS = 40  # longer text is refused unread
_UNIT_SECONDS = (86400, 3600, 60, 1)
_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_FRACTION = re.compile(r"(\d+\.\d+)([dhm])", re.ASCII)  # of one unit alone: `1.5h`
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_COMPACT_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_AGE_UNITS = ((31_557_600, "y"), (86400, "d"), (3600, "h"), (60, "m"))
_MAX_TWO_UNITS = 100  # from this number of the larger unit on, the smaller one tells nothing


def parse_duration(value: float | str) -> float:
    """Return the seconds in a duration.

    Raises:
        ValueError: the text is not a duration, or it is negative or longer than ten years.

    """
    if isinstance(value, str):
        value = _seconds_of(value)
    if not 0 <= value <= MAX_DURATION_S:
        raise ValueError("a duration lies between 0 and ten years (`3650d`)")
    return float(value)


def _seconds_of(text: str) -> float:
    """Return the seconds of a text: units from large to small, or a fraction of one unit, such as `1.5h`."""
    is_short = 0 < len(text) <= _MAX_TEXT_CHARS
    if is_short and (match := _FRACTION.fullmatch(text)):
        return float(match[1]) * {"d": 86400, "h": 3600, "m": 60}[match[2]]
    if is_short and (match := _FORM.fullmatch(text)):
        return sum(float(part or 0) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True))
    raise ValueError(f"{quote(text, _MAX_TEXT_CHARS)} is not a duration")


def format_duration(seconds: float) -> str:
    """Write a duration in its two largest units, for a page: `4 ms`, `1.20 s`, `2 min 5 s`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    if left >= 3600:
        left = round(left / 60) * 60  # `1 h`, not `1 h 0 min 2 s`
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def format_rough_duration(seconds: float) -> str:
    """Write a duration roughly in one unit, for a sentence: `90 s`, `15 min`, `2.5 h`, `20787 d`."""
    for size, unit in _UNITS[:-1]:
        if seconds >= 2 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} s"


def format_compact_duration(seconds: float) -> str:
    """Write a duration without blanks, for every verb: `58ms`, `1.2s`, `12s`, `2m05s`, `12m`, `3h04m`, `2d03h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    left = round(seconds)
    for (size, unit), (smaller, its_unit) in pairwise(_COMPACT_UNITS):
        if left >= size:
            number, rest = divmod(round(left / smaller), size // smaller)
            return f"{number}{unit}{rest:02}{its_unit}" if rest and number < _MAX_TWO_UNITS else f"{number}{unit}"
    return f"{left}s"


def format_age(seconds: float) -> str:
    """Write a duration in one unit, for a distance from now: `4s`, `85m`, `5h`, `6d`, `73y`."""
    for size, unit in _AGE_UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _three_digits(number: float) -> str:
    """Write a number with three significant digits, but no digit before the point lost: `2.57`, `20787`."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"
