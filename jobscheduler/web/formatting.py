"""Format instants for the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_YEAR = (31_557_600, "y")


def format_relative(at: datetime, now: datetime) -> str:
    """Format how far an instant is from now: `in 5 min`, `3 h ago`."""
    seconds = (at - now).total_seconds()
    distance = abs(seconds)
    if distance < 1:
        return "now"
    amount = next((f"{int(distance // unit)} {name}" for unit, name in (_YEAR, *_UNITS) if distance >= unit), "")
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def format_clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Format an instant in local time, with as much of the date as tells it from other days around now."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    time = f"{local:%H:%M:%S}"
    if local.date() == today:
        return time
    if abs(local.date() - today) < timedelta(days=7):
        return f"{local:%a} {local.day} {local:%b} {time}"
    return f"{local:%Y-%m-%d} {time}"


def format_short(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Format the minute of an instant in local time, with as much of the date as it needs; seconds if they matter."""
    local = at.astimezone(zone)
    return format_clock(at, zone, now).removesuffix(":00") if local.second == 0 else format_clock(at, zone, now)


def format_time(at: datetime, zone: ZoneInfo) -> str:
    """Format the local time of day of an instant."""
    return f"{at.astimezone(zone):%H:%M:%S}"


def format_day(at: datetime, zone: ZoneInfo) -> str:
    """Format the local date of an instant."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b}"


def format_full(at: datetime, zone: ZoneInfo) -> str:
    """Format an instant in local time, with its date and its distance from UTC."""
    local = at.astimezone(zone)
    return f"{local:%a %Y-%m-%d %H:%M:%S} {_offset(local)}"


def format_utc(at: datetime) -> str:
    """Format an instant in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _offset(local: datetime) -> str:
    text = local.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"
