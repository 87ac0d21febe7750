"""APScheduler's two triggers, made to follow a `Timetable`: the only thing here that APScheduler asks for a time.

They tell it when to wake up for a job, nothing more. What is due then, and what was missed, is worked out from the
timetable itself, so these give no times that have passed (a clock set from 1970 to today would have APScheduler ask
for millions of them, under its lock), and a fault may wake the scheduler for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from apscheduler.triggers import cron, date

from jobscheduler.timetable.timetable import Timetable

RETRY = timedelta(minutes=1)
"""When the scheduler is woken again for a job whose next time could not be worked out."""

OnError = Callable[[str, Exception], None]
"""Told of a fault in a trigger: what was asked, and the exception. It may be called with APScheduler's lock held."""


def log_fault(asked: str, fault: Exception) -> None:
    """Report a fault to the standard logging."""
    logging.getLogger(__name__).error("%s failed", asked, exc_info=fault)


class _TimetableTrigger:
    """What both triggers do: answer from a timetable, and never raise inside the scheduler's thread."""

    timetable: Timetable
    report: OnError

    def _follow(self, timetable: Timetable, report: OnError) -> None:
        self.timetable = timetable
        self.report = report

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Give the first start after both, or the first at or after `now` when there was no previous one; in UTC.

        Never raises: a fault, which would end the scheduler's thread for good, is reported, and the scheduler is
        woken again a little later.
        """
        try:
            return self._next(previous_fire_time, now)
        except Exception as fault:
            with suppress(Exception):
                self.report(f"{self} after {previous_fire_time} at {now}", fault)
            return _later(now)

    def _next(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return self.timetable.next_start(now - timedelta(microseconds=1))
        return self.timetable.next_start(max(previous, now))

    def __str__(self) -> str:
        return f"timetable[{self.timetable.schedule}, {self.timetable.zone}]"

    __repr__ = __str__


def _later(now: datetime) -> datetime | None:
    try:
        return now.astimezone(UTC) + RETRY
    except Exception:  # whatever `now` is, the scheduler's thread goes on
        return None


class CronTrigger(_TimetableTrigger, cron.CronTrigger):  # type: ignore[misc] # APScheduler has no types
    """A crontab schedule, with Debian's meaning instead of APScheduler's."""

    def __init__(self, timetable: Timetable, report: OnError = log_fault) -> None:
        # The parent would parse fields of its own; its attributes are what its other methods read.
        self.timezone = timetable.zone
        self.fields: list[object] = []
        self.start_date = self.end_date = self.jitter = None
        self._follow(timetable, report)


class DateTrigger(_TimetableTrigger, date.DateTrigger):  # type: ignore[misc] # APScheduler has no types
    """A one-time schedule. A time that has passed is not given again, whatever APScheduler asks."""

    def __init__(self, timetable: Timetable, report: OnError = log_fault) -> None:
        self.run_date = timetable.schedule
        self._follow(timetable, report)


@lru_cache(maxsize=65_536)
def trigger_for(timetable: Timetable, report: OnError = log_fault) -> CronTrigger | DateTrigger:
    """Give the trigger of a timetable; there is one object for all jobs whose timetables are equal."""
    kind = DateTrigger if isinstance(timetable.schedule, datetime) else CronTrigger
    return kind(timetable, report)
