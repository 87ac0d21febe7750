"""Shorten names of months and weekdays to the three letters that crontab accepts."""

from __future__ import annotations

import re

_FULL_NAMES = (
    *("january", "february", "march", "april", "june", "july", "august"),
    *("september", "october", "november", "december"),
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)


def shorten_names(item: str) -> str:
    """Cut names of months and weekdays to three letters: full, abbreviated or in the plural."""
    return re.sub(r"[A-Za-z]{4,}\.?", _three_letters, item)


def _three_letters(name: re.Match[str]) -> str:
    lower = name[0].lower().rstrip(".")
    full = any(known.startswith(lower) or lower in (known + "s", known + "l") for known in _FULL_NAMES)
    return (name[0][:3] + ("L" if lower.endswith("dayl") else "")) if full else name[0]
