"""Explain what a clock change does to single slots, and why an instant is not a slot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.describe import MONTHS, WEEKDAYS, list_ranges, set_bits
from jobscheduler.timetable.crontab.wall_clock import (
    DAY,
    instants_showing,
    latest_wall_time,
    offset_at,
    to_epoch_seconds,
    to_naive,
)


class DstKind(StrEnum):
    """The effect on a slot: moved out of a gap, merged with others there, or shown twice and run once or twice."""

    MOVED = "moved"
    MERGED = "merged"
    ONCE = "once"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class DstEffect:
    """A slot that a clock change affects, and its description.

    `first` and `last` are the naive wall-clock times that the slot stands for, `count` is their number.
    """

    kind: DstKind
    text: str
    first: datetime
    last: datetime
    count: int = 1


def dst_effect_at(crontab: Crontab, slot: datetime, zone: ZoneInfo) -> DstEffect | None:
    """Return the effect of a clock change on a slot of `crontab`; None for an ordinary slot."""
    instant = to_epoch_seconds(slot)
    wall = instant + offset_at(zone, instant)
    passes = instants_showing(zone, wall)
    if crontab.real_time:
        return _twice(wall, passes.index(instant), len(passes)) if len(passes) > 1 else None
    walls = _walls_of(crontab, latest_wall_time(zone, instant - 1) + 1, wall)
    if walls and walls[0] < wall:
        return _skipped(walls)
    return _once(wall, len(passes)) if len(passes) > 1 else None


def _walls_of(crontab: Crontab, first: int, last: int) -> list[int]:
    """Return the matching wall-clock times from `first` to `last`. The span is at most as long as a gap."""
    walls = []
    wall = crontab.first_wall_time(first)
    while wall is not None and wall <= last:
        walls.append(wall)
        wall = crontab.first_wall_time(wall + 1)
    return walls


def _skipped(walls: list[int]) -> DstEffect:
    first, last = to_naive(walls[0]), to_naive(walls[-1])
    if len(walls) == 1:
        return DstEffect(DstKind.MOVED, f"the clock skips {_clock(walls[0])}; runs right after the gap", first, last)
    text = f"the clock skips {_clock(walls[0])}; the {len(walls)} times up to {_clock(walls[-1])} run once, together"
    return DstEffect(DstKind.MERGED, text, first, last, len(walls))


def _once(wall: int, passes: int) -> DstEffect:
    text = f"the clock shows {_clock(wall)} {_often(passes)}; runs the first time only"
    return DstEffect(DstKind.ONCE, text, to_naive(wall), to_naive(wall))


def _twice(wall: int, index: int, passes: int) -> DstEffect:
    nth = ("first", "second", "third", "fourth")[min(index, 3)]
    text = f"the clock shows {_clock(wall)} {_often(passes)}; this is the {nth} time"
    return DstEffect(DstKind.TWICE, text, to_naive(wall), to_naive(wall))


def _often(passes: int) -> str:
    return "twice" if passes == 2 else f"{passes} times"


def _clock(wall: int) -> str:
    second = wall % DAY
    clock = f"{second // 3600:02}:{second // 60 % 60:02}"
    return clock if second % 60 == 0 else f"{clock}:{second % 60:02}"


def why_not_due(crontab: Crontab, moment: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    """Explain by field why the second that holds `moment` is not a slot of `crontab`; empty when it is one."""
    instant = to_epoch_seconds(moment)
    if crontab.at_boot:
        return ("it is due only when the service first starts after a boot",)
    if crontab.manual:
        return ("it is never due by itself",)
    wall = instant + offset_at(zone, instant)
    reasons = tuple(_unmatched(crontab, wall))
    if crontab.real_time:
        return reasons
    walls = _walls_of(crontab, latest_wall_time(zone, instant - 1) + 1, wall)
    if walls:
        return ()  # the shown time matches, or one that the clock has just skipped
    return reasons or (f"the clock has shown {_clock(wall)} before; it ran then",)


def _unmatched(crontab: Crontab, wall: int) -> list[str]:
    day, second = to_naive(wall), wall % DAY
    units = (
        ("second", second % 60, crontab.seconds),
        ("minute", second // 60 % 60, crontab.minutes),
        ("hour", second // 3600, crontab.hours),
    )
    reasons = [f"the {name} is {now}, not {_or(mask)}" for name, now, mask in units if not mask >> now & 1]
    if not crontab.months >> day.month & 1:
        reasons.append(f"the month is {MONTHS[day.month]}, not {_or(crontab.months, MONTHS)}")
    if not crontab.has_day(day.year, day.month, day.day):
        reasons.append(f"{WEEKDAYS[day.isoweekday() % 7]} {day:%Y-%m-%d} is not one of its days")
    return reasons


def _or(mask: int, names: tuple[str, ...] = ()) -> str:
    return list_ranges(set_bits(mask), names, "or")
