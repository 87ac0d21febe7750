"""Crontab text -> a value; wall-clock times -> instants; the words for it. Pure: zone data comes as `ZoneInfo`."""

from jobscheduler.timetable.crontab.count import count_slots
from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.describe import sentence
from jobscheduler.timetable.crontab.dst import Change, Kind, change_at, why_not
from jobscheduler.timetable.crontab.errors import Refused
from jobscheduler.timetable.crontab.messages import refusal
from jobscheduler.timetable.crontab.parser import Fault, read
from jobscheduler.timetable.crontab.wall_clock import instant_of
from jobscheduler.timetable.iso8601 import is_one_time, parse_instant

__all__ = [
    "Change",
    "Crontab",
    "Kind",
    "Refused",
    "change_at",
    "count_slots",
    "instant_of",
    "is_one_time",
    "parse",
    "parse_instant",
    "sentence",
    "why_not",
]


def parse(text: str) -> Crontab:
    """Read a crontab expression or macro; equal schedules give equal values.

    Raises `Refused` for anything that is not accepted, and nothing else, whatever the text.
    """
    try:
        return read(text)
    except Fault as fault:
        raise refusal(text, fault) from None
