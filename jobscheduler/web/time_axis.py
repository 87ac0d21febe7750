"""The scale of the timeline: where instants are, the hours along it, and how many runs there were at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from jobscheduler.web.formatting import format_clock, pluralize
from jobscheduler.web.log_record import LoggedRun

WINDOW = timedelta(days=1)
"""How far it reaches, back and ahead."""

BUCKETS = 240
"""Into how many parts the past is divided where runs at the same time are counted: six minutes each."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Where instants are on the drawing, and in which zone they are told."""

    now: datetime
    zone: ZoneInfo

    def percent(self, at: datetime) -> float:
        """Give the place of an instant in percent; what is beyond an edge is at that edge."""
        share = (at - self.now) / (2 * WINDOW)
        return round(min(1.0, max(0.0, 0.5 + share)) * 100, 2)

    def clock(self, at: datetime) -> str:
        """Give the local time of an instant."""
        return format_clock(at, self.zone, self.now)


@dataclass(frozen=True, slots=True)
class HourLine:
    """A line of the scale: local time, the same in UTC, and the day where one begins."""

    at: float
    local: str
    utc: str
    day: str
    is_minor: bool


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many runs there were at once, in one part of the past; `share` is percent of the most there were."""

    left: float
    width: float
    share: float
    title: str


def hours(view: TimeAxis) -> Iterator[HourLine]:
    """Draw a line at each sixth hour of local time, whatever the zone's distance from UTC."""
    quarter = timedelta(minutes=15)
    at = (view.now - WINDOW).astimezone(UTC)
    at -= timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
    while (at := at + quarter) < view.now + WINDOW:
        local = at.astimezone(view.zone)
        if local.minute == 0 and local.hour % 6 == 0:
            day = f"{local:%a} {local.day} {local:%b}" if local.hour == 0 else ""
            yield HourLine(view.percent(at), f"{local:%H:%M}", f"{at:%H:%M}", day, local.hour % 12 != 0)


def concurrency(view: TimeAxis, records: Iterable[LoggedRun]) -> tuple[tuple[Concurrency, ...], int]:
    """Count the runs that there were at once, in each part of the past at its busiest."""
    begin, size = view.now - WINDOW, WINDOW / BUCKETS
    steps = sorted(
        step
        for one in records
        if one.started is not None and one.end > begin
        for step in ((max(one.begin, begin), 1), (max(one.end, one.begin), -1))
    )
    most, going, reached = [0] * BUCKETS, 0, 0
    for at, change in steps:
        cell = min(BUCKETS - 1, max(0, int((at - begin) / size)))
        for quiet in range(reached, cell + 1):
            most[quiet] = max(most[quiet], going)
        going, reached = going + change, cell
        most[cell] = max(most[cell], going)
    peak = max(most)
    return tuple(_concurrency(view, most, peak)), peak


def _concurrency(view: TimeAxis, most: Sequence[int], peak: int) -> Iterator[Concurrency]:
    size = WINDOW / BUCKETS
    for count, cells in groupby(range(BUCKETS), key=most.__getitem__):
        first, *others = cells
        if count:
            begin = view.now - WINDOW + first * size
            end = begin + (len(others) + 1) * size
            title = f"{view.clock(begin)} to {view.clock(end)}: up to {pluralize(count, 'run')} at once"
            left = view.percent(begin)
            yield Concurrency(left, round(view.percent(end) - left, 2), round(100 * count / peak, 1), title)
