"""Parse the times of options, and show refused schedules and times."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date as day
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import ScheduleError
from jobscheduler.util import durations

SINCE = (  # help for an option that takes a time, a date or an age
    "write a time like `2026-12-01T10:00` (of this host's zone, unless `Z` or an offset follows), a date like "
    "`2026-12-01`, or how long ago, like `2h`, `90m` or `1d12h`"
)

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ArgumentProblem(ProblemError):
    """An argument that cannot be read."""


def parse_time(text: str | None, flag: str, zone: ZoneInfo) -> datetime | None:
    """Parse an ISO 8601 time to UTC, in `zone` if it has no offset; None for None.

    Raises:
        ArgumentProblem: it cannot be read, or does not exist or is ambiguous in that zone.

    """
    try:
        return None if text is None else crontab.parse_instant(text, zone)
    except ScheduleError as refused:
        raise ArgumentProblem(problem_from(refused, text or "", flag)) from None


def parse_time_or_age(text: str | None, flag: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Parse a time like `parse_time`, a date (its beginning), or an age such as `2h` (before `now`).

    Raises:
        ArgumentProblem: the text is none of these.

    """
    if text is None:
        return None
    try:
        return now - timedelta(seconds=durations.parse_duration(text))
    except ValueError:
        pass  # not a duration: perhaps a date or an instant
    if _DATE.fullmatch(text):
        return _midnight(text, flag, zone)
    try:
        return crontab.parse_instant(text, zone)
    except ScheduleError as refused:
        problem = problem_from(refused, text, flag)
        raise ArgumentProblem(problem if refused.suggestion else replace(problem, help=SINCE)) from None


def problem_from(refused: ScheduleError, text: str, flag: str) -> Problem:
    """Return the problem with an argument, with its original text as the excerpt."""
    place = {"excerpt": f"{flag} '{text}'", "caret": len(flag) + 2 + refused.start} if text.isprintable() else {}
    width = max(1, refused.end - refused.start)
    return Problem(str(refused), width=width, notes=refused.notes, help=refused.help or None, **place)  # type: ignore[arg-type]


def _midnight(date: str, flag: str, zone: ZoneInfo) -> datetime | None:
    """Return the first instant of a date, also where the clock skips midnight or shows it twice.

    Raises:
        ArgumentProblem: there is no such date. A suggestion for it is a guess, never an answer.

    """
    try:
        day.fromisoformat(date)
    except ValueError:
        return parse_time(f"{date}T00:00", flag, zone)
    try:
        return crontab.parse_instant(f"{date}T00:00", zone)
    except ScheduleError as refused:
        return parse_time(refused.suggestion or f"{date}T00:00", flag, zone)
