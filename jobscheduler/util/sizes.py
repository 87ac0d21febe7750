"""Write sizes in bytes for people."""

from __future__ import annotations

_UNITS = ("kB", "MB", "GB", "TB")
_STEP = 1000


def format_size(count: int) -> str:
    """Write a number of bytes in the largest unit of which there is one: `512 B`, `4.1 kB`, `410 MB`."""
    size, unit = float(count), "B"
    for larger in _UNITS:
        if size < _STEP:
            break
        size, unit = size / _STEP, larger
    return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:.0f} {unit}"
