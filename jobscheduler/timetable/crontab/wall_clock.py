"""Convert between instants and wall-clock times: the offsets of a zone, and when its clock shows a time.

All times are whole seconds since 1970: `instant` counts real seconds (UTC), `wall` is what the zone's clock shows,
read as if it were UTC. A zone's history is a row of `OffsetPeriod`s, each with one constant offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = 86_400
_WEEK = 7 * DAY
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock times have no zone of their own
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

# The earliest instant that is supported. Two weeks of room below it keep the arithmetic inside `datetime`.
FIRST = (datetime(1, 1, 15, tzinfo=UTC) - _EPOCH_UTC) // _SECOND
END = (datetime(2201, 1, 1, tzinfo=UTC) - _EPOCH_UTC) // _SECOND  # no slot is searched at or after this instant

_STEP = 3 * 3600  # the zone database has no two changes of one zone less than 95 hours apart
_PROBES = tuple(timedelta(seconds=s) for s in range(-3 * DAY, _WEEK + 3 * DAY + 1, _STEP))


class OffsetPeriod(NamedTuple):
    """A span of time, `start <= instant < end`, in which the zone's offset is constant (seconds east of UTC)."""

    start: int
    end: int
    offset: int


def to_epoch_seconds(moment: datetime) -> int:
    """Return the whole second in which an aware moment lies.

    Raises:
        ValueError: the moment is naive.

    """
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a moment needs a time zone")
    if moment.tzinfo is UTC:
        return (moment - _EPOCH_UTC) // _SECOND
    # Subtracting the offset afterwards, from a timedelta, cannot overflow at year 1 or 9999.
    return (moment.replace(tzinfo=None) - _EPOCH - offset) // _SECOND


def to_datetime(instant: int) -> datetime:
    """Return an instant as a `datetime` in UTC."""
    return datetime.fromtimestamp(instant, UTC)


def to_naive(wall: int) -> datetime:
    """Return a wall-clock time as a naive `datetime`."""
    return _EPOCH + timedelta(seconds=wall)


def to_wall(shown_time: datetime) -> int:
    """Return a naive `datetime` as a wall-clock time in seconds."""
    return (shown_time - _EPOCH) // _SECOND


def offset_periods(zone: ZoneInfo, instant: int) -> Iterator[OffsetPeriod]:
    """Yield the period that holds `instant`, then those after it. Neighbours may have the same offset."""
    week = instant // _WEEK
    while True:
        for period in _periods_of_week(zone, week):
            if period.end > instant:
                yield period
        week += 1


@lru_cache(maxsize=16_384)
def constant_offset(zone: ZoneInfo, week: int) -> int | None:
    """Return the offset of a week (counted from 1970) if the clock does not change in it or two days around it.

    Most weeks have no change, and in them every conversion is a subtraction. The offset of a wall-clock time is many
    times cheaper to get than that of an instant. A third day on both sides covers the difference between the two.
    """
    start = _EPOCH + timedelta(seconds=week * _WEEK)
    offsets = {zone.utcoffset(start + probe) for probe in _PROBES}
    return offset_at(zone, week * _WEEK) if len(offsets) == 1 else None


@lru_cache(maxsize=4_096)
def _periods_of_week(zone: ZoneInfo, week: int) -> tuple[OffsetPeriod, ...]:
    start, end, offset = week * _WEEK, (week + 1) * _WEEK, constant_offset(zone, week)
    return tuple(_search_changes(zone, start, end)) if offset is None else (OffsetPeriod(start, end, offset),)


def offset_period_at(zone: ZoneInfo, instant: int) -> OffsetPeriod:
    """Return the period that holds `instant`."""
    week = instant // _WEEK
    offset = constant_offset(zone, week)
    return (
        next(offset_periods(zone, instant))
        if offset is None
        else OffsetPeriod(week * _WEEK, (week + 1) * _WEEK, offset)
    )


def _search_changes(zone: ZoneInfo, start: int, end: int) -> Iterator[OffsetPeriod]:
    """Yield the periods between `start` and `end`: probe every few hours, bisect where two probes differ."""
    period_start, offset = start, offset_at(zone, start)
    for probe in range(start + _STEP, end + 1, _STEP):
        if offset_at(zone, probe) == offset:
            continue
        for change in _changes(zone, probe - _STEP, probe):
            yield OffsetPeriod(period_start, change, offset)
            period_start, offset = change, offset_at(zone, change)
    if period_start < end:
        yield OffsetPeriod(period_start, end, offset)


def _changes(zone: ZoneInfo, low: int, high: int) -> Iterator[int]:
    """Yield each instant in (low, high] at which the offset changes."""
    if offset_at(zone, low) == offset_at(zone, high):
        return
    if high - low == 1:
        yield high
        return
    middle = (low + high) // 2
    yield from _changes(zone, low, middle)
    yield from _changes(zone, middle, high)


def offset_at(zone: ZoneInfo, instant: int) -> int:
    """Return the zone's offset at an instant, in seconds east of UTC."""
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    return offset // _SECOND if offset is not None else 0


def latest_wall_time(zone: ZoneInfo, instant: int) -> int:
    """Return the latest time that the zone's clock has shown up to and including `instant`.

    After the clock was set back this is ahead of the time it shows. Looking two days back is enough: offsets are less
    than a day, so the clock is never set back by more than two days.
    """
    offset = constant_offset(zone, instant // _WEEK)
    if offset is not None:
        return instant + offset
    latest = -(10**15)
    for period in offset_periods(zone, instant - 2 * DAY):
        if period.start > instant:
            break
        latest = max(latest, min(period.end - 1, instant) + period.offset)
    return latest


def first_instant_showing(zone: ZoneInfo, wall: int) -> int:
    """Return the first instant at which the zone's clock shows `wall` or later.

    For a time shown twice this is the first pass, for a skipped time the first instant after the gap.
    """
    offset = constant_offset(zone, wall // _WEEK)  # the instant is less than a day away from that week
    if offset is not None:
        return wall - offset
    for period in offset_periods(zone, wall - DAY):
        if period.end + period.offset > wall:
            return max(period.start, wall - period.offset)
    raise AssertionError("periods never end")


def instants_showing(zone: ZoneInfo, wall: int) -> tuple[int, ...]:
    """Return the instants at which the zone's clock shows `wall`: none in a gap, two in a repeated hour, else one."""
    instants: list[int] = []
    for period in offset_periods(zone, wall - DAY):
        if period.start > wall + DAY:
            return tuple(instants)
        if period.start <= wall - period.offset < period.end:
            instants.append(wall - period.offset)
    raise AssertionError("periods never end")
