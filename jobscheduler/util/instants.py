"""Instants: now, and the ways to write one. Log lines, JSON and messages use UTC; people read local time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache, partial

from jobscheduler.util.durations import format_age

_NEAR_DAYS = 7  # days on either side of today whose weekday says which one is meant

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)  # the host's time; called several times for each run


def format_instant(at: datetime) -> str:
    """Write an instant in UTC, with milliseconds where there are any: `2026-11-22T01:00:00Z`."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return _whole_second(at) if at.microsecond == 0 else at.isoformat(timespec="milliseconds")[:-6] + "Z"


def format_instant_ms(at: datetime) -> str:
    """Write an instant in UTC, always with milliseconds: `2026-11-22T01:00:00.000Z`."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"


def format_instant_s(at: datetime) -> str:
    """Write the whole second in UTC that an instant lies in: `2026-11-22T01:00:00Z`."""
    return at.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"


@lru_cache(maxsize=1024)
def _whole_second(at: datetime) -> str:
    """Write a whole second. It is mostly a slot, which is in two lines of each of its runs."""
    return at.isoformat()[:-6] + "Z"


def format_local(at: datetime, zone: tzinfo | None = None) -> str:
    """Write the whole second in a zone (None: the host's): `2026-11-22 02:00:00`."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def format_local_short(at: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """Write the whole second in a zone (None: the host's), without the date if that is today's: `02:00:00`."""
    local = at.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone(zone).date() else format_local(local, zone)


def format_with_zone(at: datetime, zone: tzinfo | None = None) -> str:
    """Write an instant with weekday and zone, and milliseconds where there are any: `Sun 2026-11-22 02:00:00 CET`."""
    local = at.astimezone(zone)
    fraction = f".{local.microsecond // 1000:03}" if local.microsecond >= 1000 else ""
    return f"{local:%a %Y-%m-%d %H:%M:%S}{fraction} {local:%Z}"


def format_relative(at: datetime, now: datetime) -> str:
    """Write how far an instant is from now, in one unit: `34m ago`, `in 85m`, `now`."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {format_age(seconds)}" if seconds > 0 else f"{format_age(-seconds)} ago"


def format_moment(at: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """Write the minute of an instant with as much as tells it from others: `02:30`, `Mon 08:30`, `2026-11-28 08:30`.

    A sentence or a table with such instants names the zone once.
    """
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    time = f"{local:%H:%M}"
    days = abs((local.date() - today).days)
    if not days:
        return time
    return f"{local:%a} {time}" if days < _NEAR_DAYS else f"{local:%Y-%m-%d} {time}"
