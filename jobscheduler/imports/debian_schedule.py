"""Tell where Debian's cron and a job read a schedule differently, although both accept it."""

from __future__ import annotations

import re
from typing import NamedTuple

from jobscheduler.timetable.crontab import ScheduleError, parse

_NAMES = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_WRAPPED = re.compile(r"(?P<low>\w+)-(?P<high>0|sun)(?:/[0-9]+)?", re.IGNORECASE)
_LAST = re.compile(r"(?:[0-7]|[a-z]{3})?L", re.IGNORECASE)


class Objection(NamedTuple):
    """Why a line is not taken over, and what to write instead. `is_error` says that cron refuses it, too."""

    message: str
    help: str
    is_error: bool = False


def objection_to(schedule: str) -> Objection | None:
    """Return why the slots of a schedule would not be those of Debian's cron; None if they are the same."""
    try:
        parse(schedule)
    except ScheduleError as refused:
        is_error = not any("cron accepts" in note for note in refused.notes)
        message = "; ".join((refused.message, *refused.notes))
        return Objection(message, refused.help or "write a schedule of cron", is_error)
    if schedule.startswith("@"):
        return _manual(schedule)
    *_, day, _, weekday = schedule.split()
    return next((found for item in weekday.split(",") if (found := _about_weekday(item))), None) or _about_day(day)


def _manual(schedule: str) -> Objection | None:
    if schedule != "@manual":
        return None
    return Objection("cron has no `@manual`", "write a job file with that schedule by hand", is_error=True)


def _about_weekday(item: str) -> Objection | None:
    """Return how an item of the weekday differs: `5#3`, `5L`, and a range that ends in Sunday."""
    day, mark, nth = item.partition("#")
    if mark:
        message = f"cron ignores what follows `{day}` in `{item}`, so the line runs on each such day"
        return Objection(
            message, f"write `{day}` for that, or write a job file with `{item}`, which means number {nth}"
        )
    if _LAST.fullmatch(item):
        help_ = "write a job file with this schedule, if the last one is meant"
        return Objection(f"cron refuses `{item}`", help_, is_error=True)
    wrapped = _WRAPPED.fullmatch(item)
    low = _NAMES.get(wrapped["low"].lower(), wrapped["low"]) if wrapped else 0
    if wrapped is not None and str(low) != "0":
        message = (
            f"the range `{item}` ends in Sunday, which is day 0 to cron: the line is accepted and never runs there"
        )
        return Objection(message, f"write `{wrapped['low']}-7` if it is meant to run, or take the line out")
    return None


def _about_day(day: str) -> Objection | None:
    if all(not _LAST.fullmatch(item) for item in day.split(",")):
        return None
    help_ = "write a job file with this schedule, if the last day is meant"
    return Objection(f"cron refuses `{day}`", help_, is_error=True)
