"""Sizes in bytes: the one parser, and how one is written for people."""

from __future__ import annotations

import re

from jobscheduler.util.text import quote

HELP = 'write a number of bytes, or text such as `"512M"` or `"2G"`'

_FORM = re.compile(r"(\d{1,15})(?:([KMGT])(?:i?B)?)?", re.ASCII | re.IGNORECASE)
_UNITS = ("kB", "MB", "GB", "TB")
_STEP = 1000


def parse_size(value: int | str) -> int:
    """Return the bytes in a size; a unit is 1024 of the one before: `512M`, `1GiB`.

    Raises:
        ValueError: the text is not a size.

    """
    if isinstance(value, int):
        return value
    match = _FORM.fullmatch(value)
    if match is None:
        raise ValueError(f"{quote(value)} is not a size")
    return int(match[1]) << 10 * " KMGT".index((match[2] or " ").upper())


def format_size(count: int) -> str:
    """Write a number of bytes in the largest unit of which there is one: `512 B`, `4.1 kB`, `410 MB`."""
    size, unit = float(count), "B"
    for larger in _UNITS:
        if size < _STEP:
            break
        size, unit = size / _STEP, larger
    return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:.0f} {unit}"
