"""The scale of the timeline: positions of instants, the hours along it, and concurrent runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from jobscheduler.status.snapshot import Snapshot
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util.text import plural
from jobscheduler.web.formatting import format_clock

WINDOW = timedelta(days=1)  # the usual reach of the timeline, back and ahead

_DAY = 24 * 60  # minutes
_STEPS = (  # minutes between two lines of the scale, by how far it reaches
    (timedelta(hours=1), 15),
    (timedelta(hours=6), 2 * 60),
    (timedelta(days=1), 6 * 60),
    (timedelta.max, _DAY),
)
_NEAR_NOW_PCT = 4.0  # percent from now within which a label would touch that of now
_BY_NOW_PCT = 13.0  # the same on a narrow screen

BUCKETS = 240  # parts of the past, in which concurrent runs are counted


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The positions of instants on the timeline, which reaches as far back as ahead, and the zone of its clock."""

    now: datetime
    zone: ZoneInfo
    reach: timedelta = WINDOW

    @property
    def begin(self) -> datetime:
        """The left edge."""
        return self.now - self.reach

    def percent(self, at: datetime) -> float:
        """Return the position of an instant in percent; an instant beyond an edge is at that edge."""
        share = (at - self.now) / (2 * self.reach)
        return round(min(1.0, max(0.0, 0.5 + share)) * 100, 2)

    def clock(self, at: datetime) -> str:
        """Format the local time of an instant."""
        return format_clock(at, self.zone, self.now)


@dataclass(frozen=True, slots=True)
class HourLine:
    """A line of the scale: local time, and the date where a day begins.

    A minor one is not labelled on a narrow screen; `is_near_now` has no label, as that of now is there, and
    `is_by_now` has none on a narrow screen.
    """

    at: float
    local: str
    day: str
    is_minor: bool
    is_near_now: bool
    is_by_now: bool


Span = tuple[str, float, float]  # a run: its job, its begin and its end in seconds of the epoch


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many runs were in progress at once in one part of the past; `share` is percent of the peak."""

    left: float
    width: float
    share: float
    title: str


def hours(view: TimeAxis) -> Iterator[HourLine]:
    """Yield the lines of the scale at round local times, whatever the zone's distance from UTC."""
    step = next(step for reach, step in _STEPS if view.reach <= reach)
    quarter = timedelta(minutes=15)
    at = view.begin.astimezone(UTC)
    at -= timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)
    while (at := at + quarter) < view.now + view.reach:
        local = at.astimezone(view.zone)
        if (60 * local.hour + local.minute) % step == 0:
            yield _line(view, at, local, step)


def _line(view: TimeAxis, at: datetime, local: datetime, step: int) -> HourLine:
    position, is_midnight = view.percent(at), local.hour == local.minute == 0
    day = f"{local:%a} {local.day} {local:%b}" if is_midnight else ""
    is_whole_day = step == _DAY
    is_minor = local.weekday() != 0 if is_whole_day else bool((60 * local.hour + local.minute) % (2 * step))
    return HourLine(
        position,
        f"{local:%a} {local.day}" if is_whole_day else f"{local:%H:%M}",
        "" if is_whole_day else day,
        is_minor,
        abs(position - 50) < _NEAR_NOW_PCT,
        abs(position - 50) < _BY_NOW_PCT,
    )


def concurrency(view: TimeAxis, spans: Iterable[Span]) -> tuple[tuple[Concurrency, ...], int]:
    """Count the runs that went on at once: the most in each part of the past, and the peak of all."""
    begin, size = view.begin.timestamp(), view.reach.total_seconds() / BUCKETS
    steps = [
        step
        for _, started, ended in spans
        if ended > begin
        for step in ((started if started > begin else begin, 1), (ended, -1))
    ]
    steps.sort()
    peaks, active, last_bucket = [0] * BUCKETS, 0, 0
    for at, change in steps:
        bucket = int((at - begin) / size)
        if bucket > last_bucket:
            bucket = min(BUCKETS - 1, bucket)
            peaks[last_bucket + 1 : bucket + 1] = [active] * (bucket - last_bucket)
            last_bucket = bucket
        active += change
        if active > peaks[last_bucket]:  # noqa: PLR1730 - `max` takes twice as long, for each of 20,000 steps
            peaks[last_bucket] = active
    peak = max(peaks)
    return tuple(_concurrency(view, peaks, peak)), peak


def _concurrency(view: TimeAxis, peaks: Sequence[int], peak: int) -> Iterator[Concurrency]:
    size = view.reach / BUCKETS
    for count, buckets in groupby(range(BUCKETS), key=peaks.__getitem__):
        first, *others = buckets
        if count:
            begin = view.begin + first * size
            end = begin + (len(others) + 1) * size
            title = f"{view.clock(begin)} to {view.clock(end)}: up to {plural(count, 'run')} at once"
            left = view.percent(begin)
            yield Concurrency(left, round(view.percent(end) - left, 2), round(100 * count / peak, 1), title)


def zone_of(snapshot: Snapshot) -> ZoneInfo:
    """Return the zone of the service, UTC if this host does not have it."""
    return zone_or_utc(snapshot.service.timezone)


def zone_or_utc(name: str) -> ZoneInfo:
    """Return a zone by its name, UTC if this host does not have it."""
    try:
        return get_zone(name)
    except UnknownTimezone:
        return ZoneInfo("UTC")
