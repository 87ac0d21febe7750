"""Warn of schedules that are legal and odd: never due again, uneven, longer limits than intervals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, NamedTuple

from jobscheduler.jobs.plan import is_past
from jobscheduler.model import Cron, Job, Once
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util import json_text
from jobscheduler.util.durations import format_rough_duration

FAR_AHEAD = timedelta(days=366)  # a schedule that repeats and is not due before is odd
_SLOTS = 12  # that are looked at for the shortest distance


class Lint(NamedTuple):
    """Something odd, at a path of the definition, and there at a part of the text."""

    path: json_text.Path
    message: str
    help: str | None
    notes: tuple[str, ...] = ()
    part: tuple[int, int] | None = None


def schedule_lints(value: dict[str, Any], job: Job, now: datetime) -> Iterator[Lint]:
    """Yield what is odd about the slots of a job. `value` is its definition as written."""
    try:
        timetable = timetable_of(job)
        zone = get_zone(job.schedule.timezone) if isinstance(job.schedule, Cron) else None
    except UnknownTimezone:  # of another host
        return
    if isinstance(job.schedule, Cron) and zone is not None:
        text = value["schedule"]
        for odd in crontab.oddities(text, zone, now):
            yield Lint(("schedule",), odd.message, odd.help, odd.notes, (odd.start, odd.end))
    if job.enabled and timetable.has_slots:
        yield from _due_again(job, timetable, now)
    if isinstance(job.schedule, Cron) and timetable.has_slots:
        yield from _distances(job, timetable, now)


def _due_again(job: Job, timetable: Timetable, now: datetime) -> Iterator[Lint]:
    slot = timetable.next(now)
    if isinstance(job.schedule, Once):
        if is_past(job, now):
            help_ = "delete the file, or write a later time"
            yield Lint(("schedule",), "its only slot is over: it is reported as expired and never run", help_)
    elif slot is None:
        yield _never_due(job, timetable)
    elif slot is not None and slot - now > FAR_AHEAD:
        days = (slot - now).days
        yield Lint(("schedule",), f"it is not due before {slot:%Y-%m-%d}, in {days} days", "is that what is meant?")


def _never_due(job: Job, timetable: Timetable) -> Lint:
    first = job.not_before
    if first is not None and timetable.next(first - timedelta(milliseconds=1)) is None:
        message = "no slot lies between `not_before` and `not_after`, so it is never due"
        return Lint(("not_after",), message, "is one of the two mistyped?")
    return Lint(("not_after",), "`not_after` has passed: it is never due again", "delete the file, or the field")


def _distances(job: Job, timetable: Timetable, now: datetime) -> Iterator[Lint]:
    """Yield a time limit and a jitter that are longer than the time between two slots."""
    is_limited = job.timeout is not None and job.overlap == "skip"
    if not is_limited and job.jitter <= 0:
        return
    slots = list(islice(timetable.iter_after(now), _SLOTS))
    shortest = min(((later - slot).total_seconds() for slot, later in pairwise(slots)), default=None)
    if shortest is None:
        return
    between = format_rough_duration(shortest)
    if is_limited and job.timeout is not None and job.timeout > shortest:
        message = f"a run may take longer than the {between} between two slots, and slots meanwhile are skipped"
        help_ = f'write at most {shortest:g} seconds, or say `"overlap": "queue"` or `"replace"`'
        yield Lint(("timeout",), message, help_)
    if job.jitter > shortest:
        message = f"no start is put off beyond the following slot, which comes after {between}"
        yield Lint(("jitter",), message, f"write at most {shortest:g} seconds")
