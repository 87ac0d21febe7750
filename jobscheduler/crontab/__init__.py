"""Crontab text -> a value; wall-clock times -> instants; the words for it. Pure: zone data comes as `ZoneInfo`."""

from jobscheduler.crontab.changes import Change, Kind, change_at, why_not
from jobscheduler.crontab.clock import instant_of
from jobscheduler.crontab.counting import count_slots
from jobscheduler.crontab.explaining import refusal
from jobscheduler.crontab.grammar import Fault, read
from jobscheduler.crontab.instant import is_one_time, parse_instant
from jobscheduler.crontab.refused import Refused
from jobscheduler.crontab.value import Crontab
from jobscheduler.crontab.words import sentence

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
