"""Durations as people write them: a number of seconds, or text such as `90s`, `15m`, `1h30m`, `2d`."""

from __future__ import annotations

import re

MAX_DURATION_S = 3650 * 86400.0
"""The longest duration that may be named, in seconds: ten years."""

HELP = 'write seconds, or text such as `"90s"`, `"15m"`, `"1h30m"`, `"2d"`'

_UNITS = (86400, 3600, 60, 1)
_FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


def parse_duration(value: float | str) -> float:
    """Return the seconds in a duration.

    Raises:
        ValueError: the text is not a duration, or it is negative or longer than ten years.

    """
    if isinstance(value, str):
        found = _FORM.fullmatch(value) if 0 < len(value) <= 40 else None
        if found is None:
            shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in value[:40])
            raise ValueError(f"`{shown}` is not a duration")
        value = sum(float(part or 0) * unit for part, unit in zip(found.groups(), _UNITS, strict=True))
    if not 0 <= value <= MAX_DURATION_S:
        raise ValueError("a duration lies between 0 and ten years (`3650d`)")
    return float(value)


def format_seconds(length: float) -> str:
    """Write a number of seconds for people, roughly: `90 s`, `15 min`, `2.5 h`, `20787 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if length >= 2 * size:
            return f"{round(length / size, 1 if length < 10 * size else None):g} {unit}"
    return f"{length:.0f} s"
