"""Find instants at which more jobs would start than now: too many for the workers, or many more than before. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobscheduler.model import Job
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import UnknownTimezone

HORIZON = timedelta(hours=24)  # how far ahead is looked
MANY_MORE = 10  # further starts at one instant are many, if they are as many again as before

_MAX_SLOTS = 300_000  # that are computed in all
_MIN_SLOTS = 50  # of each timetable


@dataclass(frozen=True, slots=True)
class Collision:
    """An instant at which `after` jobs would start, and `before` start now."""

    at: datetime
    before: int
    after: int


def collisions(before: Mapping[str, Job], after: Mapping[str, Job], now: datetime, workers: int) -> list[Collision]:
    """Return the instants within `HORIZON` that get too many starts, the worst first.

    Jobs with jitter are left out: their starts are spread.
    """
    starts_before, starts_after = _starts(before.values(), now), _starts(after.values(), now)
    found = [
        Collision(at, starts_before[at], count)
        for at, count in starts_after.items()
        if _is_worse(starts_before[at], count, workers)
    ]
    return sorted(found, key=lambda one: (-one.after, one.at))


def _is_worse(before: int, after: int, workers: int) -> bool:
    if after <= before:
        return False
    return after > workers or (after - before >= MANY_MORE and after >= 2 * before)


def _starts(jobs: Iterable[Job], now: datetime) -> Counter[datetime]:
    """Count the starts at each instant. Jobs with one schedule share a timetable, so its slots are computed once."""
    timetables: Counter[Timetable] = Counter()
    for job in jobs:
        if job.enabled and job.jitter <= 0:
            try:
                timetables[timetable_of(job)] += 1
            except UnknownTimezone:  # of another host
                continue
    limit = max(_MIN_SLOTS, _MAX_SLOTS // max(1, len(timetables)))
    starts: Counter[datetime] = Counter()
    for timetable, count in timetables.items():
        for slot in timetable.slots(now, now + HORIZON, limit):
            starts[slot] += count
    return starts
