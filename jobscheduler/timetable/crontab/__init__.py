"""Parse, compute and describe crontab schedules and instants. Pure: zone data comes as `ZoneInfo`."""

from jobscheduler.timetable.crontab.count import count_slots
from jobscheduler.timetable.crontab.crontab import Crontab
from jobscheduler.timetable.crontab.describe import describe
from jobscheduler.timetable.crontab.dst import DstEffect, DstKind, dst_effect_at, why_not_due
from jobscheduler.timetable.crontab.errors import ScheduleError
from jobscheduler.timetable.crontab.oddities import Oddity, oddities
from jobscheduler.timetable.crontab.parser import SyntaxFault, parse_expression
from jobscheduler.timetable.crontab.wall_clock import to_epoch_seconds
from jobscheduler.timetable.iso8601 import is_one_time, names_offset, parse_instant

__all__ = [
    "Crontab",
    "DstEffect",
    "DstKind",
    "Oddity",
    "ScheduleError",
    "count_slots",
    "describe",
    "dst_effect_at",
    "is_one_time",
    "names_offset",
    "oddities",
    "parse",
    "parse_instant",
    "to_epoch_seconds",
    "why_not_due",
]


def parse(text: str) -> Crontab:
    """Parse a crontab expression or macro; equal schedules give equal values.

    Raises:
        ScheduleError: the text is not accepted. Nothing else is raised, whatever the text.

    """
    try:
        return parse_expression(text)
    except SyntaxFault as fault:
        from jobscheduler.timetable.crontab.messages import build_error  # noqa: PLC0415 - large, seldom needed

        raise build_error(text, fault) from None
