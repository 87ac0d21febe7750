"""APScheduler's two triggers, made to follow a `Timetable`.

They say when to wake up for a job, nothing more; the timetable itself says what is due then and what was missed. So
they return no times that have passed: after a clock set from 1970 to today APScheduler would ask for millions of them,
under its lock. After an error they may cause a needless wake-up. `apscheduler_classes` lists what they override.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from apscheduler.triggers import cron, date

from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK

RETRY = timedelta(minutes=1)  # delay of the next wake-up when a job's next time could not be computed

OnError = Callable[[str, Exception], None]  # what was computed, the exception; APScheduler's lock may be held


def log_error(computed: str, error: Exception) -> None:
    """Log an error of a trigger with the standard logging."""
    logging.getLogger(__name__).error("%s failed", computed, exc_info=error)


class _TimetableTrigger:
    """Answers from a timetable, and never raises inside the scheduling thread."""

    timetable: Timetable
    on_error: OnError

    def _follow(self, timetable: Timetable, on_error: OnError) -> None:
        self.timetable = timetable
        self.on_error = on_error

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first start after both, or the first at or after `now` without a previous one; in UTC.

        An error would end the scheduling thread. So it is passed to `on_error`, and the next wake-up is in `RETRY`.
        """
        try:
            return self._next(previous_fire_time, now)
        except Exception as error:
            with suppress(Exception):  # the scheduling thread goes on, even if the error cannot be logged
                self.on_error(f"{self} after {previous_fire_time} at {now}", error)
            return _later(now)

    def _next(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return self.timetable.next_start(now - TICK)
        return self.timetable.next_start(max(previous, now))

    def __str__(self) -> str:
        return f"timetable[{self.timetable.schedule}, {self.timetable.zone}]"

    __repr__ = __str__


def _later(now: datetime) -> datetime | None:
    try:
        return now.astimezone(UTC) + RETRY
    except Exception:  # the scheduling thread goes on, even if `now` is no time
        return None


class CronTrigger(_TimetableTrigger, cron.CronTrigger):  # type: ignore[misc] # APScheduler has no types
    """A crontab schedule, with Debian's meaning instead of APScheduler's."""

    def __init__(self, timetable: Timetable, on_error: OnError = log_error) -> None:
        # The parent would parse fields of its own; its other methods read these attributes.
        self.timezone = timetable.zone
        self.fields: list[object] = []
        self.start_date = self.end_date = self.jitter = None
        self._follow(timetable, on_error)


class DateTrigger(_TimetableTrigger, date.DateTrigger):  # type: ignore[misc] # APScheduler has no types
    """A one-time schedule. A time that has passed is not returned again."""

    def __init__(self, timetable: Timetable, on_error: OnError = log_error) -> None:
        self.run_date = timetable.schedule
        self._follow(timetable, on_error)


@lru_cache(maxsize=65_536)
def trigger_for(timetable: Timetable, on_error: OnError = log_error) -> CronTrigger | DateTrigger:
    """Return the trigger of a timetable: one object for all jobs with equal timetables."""
    trigger_class = DateTrigger if isinstance(timetable.schedule, datetime) else CronTrigger
    return trigger_class(timetable, on_error)
