"""Parse the times of options, the same for every verb, and show refused schedules and times."""

from __future__ import annotations

import re
from datetime import date as day
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.model import Problem
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import ScheduleError
from jobscheduler.util import durations

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_AND_TIME = re.compile(r"(yesterday|today|tomorrow)(?:[ T]([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?))?")
_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def parse_when(
    text: str | None, flag: str, zone: ZoneInfo, now: datetime, *, is_ahead: bool = False
) -> datetime | None:
    """Parse a time as people write it, to UTC; None for None.

    1. `now`, or a duration such as `2h`: so long ago, or ahead of now with `is_ahead`.
    2. `14:30`: the last such time, or the next one with `is_ahead`.
    3. `today`, `yesterday`, `tomorrow`, a date: their first instant. `yesterday 14:30`.
    4. An ISO 8601 time, in `zone` if it has no offset.

    Raises:
        ArgumentProblem: the text is none of these, or the time does not exist or is ambiguous in that zone.

    """
    if text is None or text == "now":
        return None if text is None else now
    try:
        distance = timedelta(seconds=durations.parse_duration(text))
        return now + distance if is_ahead else now - distance
    except ValueError:
        pass  # not a duration: perhaps a day, a time or an instant
    if match := _DAY_AND_TIME.fullmatch(text):
        date = now.astimezone(zone).date() + timedelta(days=_DAYS[match[1]])
        return _on_day(date, match[2] or "00:00", text, flag, zone, is_ahead=is_ahead)
    if _TIME_OF_DAY.fullmatch(text):
        return _nearest_time(text, flag, zone, now, is_ahead=is_ahead)
    if _DATE.fullmatch(text):
        return _midnight(text, flag, zone, is_ahead=is_ahead)
    try:
        return crontab.parse_instant(text, zone)
    except ScheduleError as refused:
        raise ArgumentProblem(_refused_time(refused, text, flag, zone, is_ahead=is_ahead)) from None


def _nearest_time(text: str, flag: str, zone: ZoneInfo, now: datetime, *, is_ahead: bool) -> datetime:
    """Return the next instant of a time of day, or the last one."""
    today = now.astimezone(zone).date()
    found = _on_day(today, text, text, flag, zone, is_ahead=is_ahead)
    if is_ahead and found < now:
        return _on_day(today + timedelta(days=1), text, text, flag, zone, is_ahead=is_ahead)
    if not is_ahead and found > now:
        return _on_day(today - timedelta(days=1), text, text, flag, zone, is_ahead=is_ahead)
    return found


def _on_day(date: day, time: str, text: str, flag: str, zone: ZoneInfo, *, is_ahead: bool) -> datetime:
    """Return a time of a day; the first possible one where the clock skips it or shows it twice."""
    padded = time.rjust(5 if len(time) < 6 else 8, "0")
    try:
        return crontab.parse_instant(f"{date}T{padded}", zone)
    except ScheduleError as refused:
        if refused.suggestion is None or not _is_valid_time(padded):
            problem = Problem(f"`{text}` is not a time of day", help=time_help(zone, is_ahead=is_ahead))
            raise ArgumentProblem(_with_excerpt(problem, text, flag)) from None
        return crontab.parse_instant(refused.suggestion, zone)


def _is_valid_time(time: str) -> bool:
    hour, minute, *second = map(int, time.split(":"))
    return hour < 24 and minute < 60 and all(value < 60 for value in second)


def time_help(zone: ZoneInfo, *, is_ahead: bool = False) -> str:
    """Return the help for a time that cannot be read."""
    duration = "how far ahead" if is_ahead else "how long ago"
    return (
        f"write a time like `14:30` or `2026-12-01T10:00` (of {zone.key}, unless `Z` or an offset follows), a day like "
        f"`2026-12-01`, `yesterday`, `today` or `tomorrow`, or {duration}, like `2h`, `90m` or `1d12h`"
    )


def _refused_time(refused: ScheduleError, text: str, flag: str, zone: ZoneInfo, *, is_ahead: bool) -> Problem:
    """Return the problem of a text; one that nearly is an ISO 8601 time gets the help for that."""
    if refused.suggestion:
        return problem_from(refused, text, flag)
    return _with_excerpt(Problem(f"`{text}` is not a time", help=time_help(zone, is_ahead=is_ahead)), text, flag)


def _with_excerpt(problem: Problem, text: str, flag: str) -> Problem:
    if not text.isprintable():
        return Problem("this is not a time", help=problem.help)
    return Problem(
        problem.message, excerpt=f"{flag} '{text}'", caret=len(flag) + 2, width=max(1, len(text)), help=problem.help
    )


def problem_from(refused: ScheduleError, text: str, flag: str) -> Problem:
    """Return the problem with an argument, with its original text as the excerpt."""
    place = {"excerpt": f"{flag} '{text}'", "caret": len(flag) + 2 + refused.start} if text.isprintable() else {}
    width = max(1, refused.end - refused.start)
    return Problem(str(refused), width=width, notes=refused.notes, help=refused.help or None, **place)  # type: ignore[arg-type]


def _midnight(date: str, flag: str, zone: ZoneInfo, *, is_ahead: bool) -> datetime:
    """Return the first instant of a date, also where the clock skips midnight or shows it twice.

    Raises:
        ArgumentProblem: there is no such date. A suggestion for it is a guess, never an answer.

    """
    try:
        return _on_day(day.fromisoformat(date), "00:00", date, flag, zone, is_ahead=is_ahead)
    except ValueError:
        pass
    try:
        return crontab.parse_instant(f"{date}T00:00", zone)
    except ScheduleError as refused:
        problem = Problem(str(refused).replace(f"{date}T00:00", date), help=time_help(zone, is_ahead=is_ahead))
        raise ArgumentProblem(_with_excerpt(problem, date, flag)) from None
