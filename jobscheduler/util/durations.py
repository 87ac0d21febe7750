"""Durations: the one parser, and the three ways to write one.

A job file, an option and a task's field mean the same by the same text: seconds, or `90s`, `15m`, `1h30m`, `2d`.
"""

from __future__ import annotations

import re

from jobscheduler.util.text import quote

MAX_DURATION_S = 3650 * 86400.0  # ten years

HELP = 'write seconds, or text such as `"90s"`, `"15m"`, `"1h30m"`, `"2d"`'

_MAX_TEXT_CHARS = 40  # longer text is refused unread
_UNIT_SECONDS = (86400, 3600, 60, 1)
_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def parse_duration(value: float | str) -> float:
    """Return the seconds in a duration.

    Raises:
        ValueError: the text is not a duration, or it is negative or longer than ten years.

    """
    if isinstance(value, str):
        match = _FORM.fullmatch(value) if 0 < len(value) <= _MAX_TEXT_CHARS else None
        if match is None:
            raise ValueError(f"{quote(value, _MAX_TEXT_CHARS)} is not a duration")
        value = sum(float(part or 0) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True))
    if not 0 <= value <= MAX_DURATION_S:
        raise ValueError("a duration lies between 0 and ten years (`3650d`)")
    return float(value)


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
    """Write a duration without blanks, for a column: `1.2s`, `12s`, `2m05s`, `3h04m`, `2d03h`."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{left:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def _three_digits(number: float) -> str:
    """Write a number with three significant digits, but no digit before the point lost: `2.57`, `20787`."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"
