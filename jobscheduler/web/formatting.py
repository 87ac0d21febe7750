"""How values look to people: durations, instants, and texts that cannot disturb what stands around them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_YEAR = (31_557_600, "y")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def format_duration(seconds: float) -> str:
    """Write a duration for people, in its two largest units: `4 ms`, `1.20 s`, `2 min 5 s`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    if left >= 3600:
        left = round(left / 60) * 60  # `1 h`, and not `1 h 0 min 2 s`
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def format_relative(at: datetime, now: datetime) -> str:
    """Say how far an instant is from now: `in 5 min`, `3 h ago`."""
    seconds = (at - now).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "now"
    words = next((f"{int(size // unit)} {name}" for unit, name in (_YEAR, *_UNITS) if size >= unit), "")
    return f"in {words}" if seconds > 0 else f"{words} ago"


def format_clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Write an instant in local time, with as much of the date as is needed to tell it from other days around now."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    time = f"{local:%H:%M:%S}"
    if local.date() == today:
        return time
    if abs(local.date() - today) < timedelta(days=7):
        return f"{local:%a} {local.day} {local:%b} {time}"
    return f"{local:%Y-%m-%d} {time}"


def format_full(at: datetime, zone: ZoneInfo) -> str:
    """Write an instant in local time, with its date and its distance from UTC."""
    local = at.astimezone(zone)
    return f"{local:%a %Y-%m-%d %H:%M:%S} {_offset(local)}"


def format_utc(at: datetime) -> str:
    """Write an instant in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_iso(at: datetime) -> str:
    """Write an instant for programs."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _offset(local: datetime) -> str:
    text = local.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def printable(text: str) -> str:
    """Give a text in which nothing is hidden: control and direction marks are spelled out, colours left out."""
    plain = _COLOUR.sub("", text).replace("\r\n", "\n")
    if plain.isprintable():
        return plain
    return "".join(one if one.isprintable() or one in "\n\t" else _spelled(one) for one in plain)


def _spelled(one: str) -> str:
    return one.encode("unicode_escape", "backslashreplace").decode("ascii")


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """Say how many: `1 run`, `2,000 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
