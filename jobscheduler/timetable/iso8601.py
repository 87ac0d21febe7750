"""Parse one-time schedules: ISO 8601 text -> an instant in UTC.

Accepted are the forms of ISO 8601 that people write: calendar, ordinal and week dates, basic and extended, `T` or one
blank before the time, hours alone or with minutes and seconds, a decimal fraction of the seconds, `24:00` as the end
of a day, `Z` or an offset. Without an offset the text is a wall-clock time of the zone.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.timetable.crontab.errors import ScheduleError
from jobscheduler.timetable.crontab.wall_clock import (
    DAY,
    first_instant_showing,
    instants_showing,
    offset_at,
    to_datetime,
    to_naive,
    to_wall,
)
from jobscheduler.util.text import quote

MAX_INSTANT_CHARS = 100  # longest text that is parsed
FIRST_YEAR, LAST_YEAR = 1970, 2200
_MAX_FAULTS = 5  # faults of one text that are fixed
_LATEST_HOUR = 30  # a larger hour is not taken for one of the following night
_EXAMPLE = "write it like `2026-12-01T10:00:00Z`, or without `Z` for the time of the job's zone"

_DATE = r"""(?P<date>(?P<year>[0-9]{4})(?:
    -(?P<month>[0-9]{2})-(?P<day>[0-9]{2}) | (?P<month_>[0-9]{2})(?P<day_>[0-9]{2})
    | -?[Ww](?P<week>[0-9]{2})-?(?P<weekday>[0-9]) | -?(?P<ordinal>[0-9]{3})))"""
_TIME = r"""(?P<hour>[0-9]{2})(?:(?P<colon>:?)(?P<minute>[0-9]{2})(?:(?P=colon)(?P<second>[0-9]{2})
    (?:[.,](?P<fraction>[0-9]+))?)?)?"""
_OFFSET = r"(?P<offset>[Zz]|(?P<sign>[+-])(?P<off_hour>[0-9]{2})(?::?(?P<off_minute>[0-9]{2}))?)?"
_INSTANT = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}{_OFFSET})?", re.VERBOSE)
_ONE_TIME = re.compile(r"[ \t]*(?:[+-]?[0-9]{4,}[-/.WwTt]|[0-9]{7,}([ \t]|$)|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4})")


_NAMES_A_ZONE = re.compile(r"[A-Za-z]+/[A-Za-z_/+-]+\]?\s*$")


def is_one_time(text: str) -> bool:
    """Return whether a schedule looks like an instant. Its errors are then those of an instant."""
    return bool(_ONE_TIME.match(text)) and len(text[:MAX_INSTANT_CHARS].split()) < 5


def names_offset(text: str) -> bool:
    """Return whether an instant has `Z` or an offset. The zone then means nothing for it."""
    match = _INSTANT.fullmatch(text)
    return match is not None and match["offset"] is not None


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """Parse an ISO 8601 date and time to UTC; without an offset it is a wall-clock time of `zone`.

    Raises:
        ScheduleError: the text is not an instant of the years 1970 to 2200, or a wall-clock time that does not exist or
            is ambiguous in the zone. Nothing else is raised, whatever the text.

    """
    try:
        return _read(text, zone)
    except _Fault as fault:
        suggestion, remark = (fault.suggestion, None) if fault.final else _fix_faults(text, fault, zone)
        help_ = fault.help or _help(text, suggestion, remark)
        raise ScheduleError(fault.message, end=len(text), instead=suggestion, help=help_) from None


def _help(text: str, suggestion: str | None, remark: str | None) -> str | None:
    """Return the help; None if the suggestion says enough."""
    if suggestion is not None:
        return f"write `{suggestion}`, {remark}" if remark else None
    return (
        f"{_EXAMPLE}; a zone has a field of its own, timezone"
        if _NAMES_A_ZONE.search(text[:MAX_INSTANT_CHARS])
        else _EXAMPLE
    )


class _Fault(Exception):
    """The first fault of a text; `suggestion` is a better text.

    `help` is set when the suggestion is known to be valid, which makes the fault final. `remark` describes the
    suggestion where it is not obvious.
    """

    def __init__(
        self, message: str, suggestion: str | None = None, help_: str | None = None, remark: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.help = help_
        self.remark = remark

    @property
    def final(self) -> bool:
        return self.help is not None


def _fix_faults(text: str, fault: _Fault, zone: ZoneInfo) -> tuple[str | None, str | None]:
    """Fix fault after fault until the text is valid; return it with its remark, or None."""
    remark = None
    for _ in range(_MAX_FAULTS):
        if fault.suggestion is None or fault.suggestion == text:
            break
        text, remark = fault.suggestion, fault.remark or remark
        try:
            _read(text, zone)
        except _Fault as another:
            fault = another
        else:
            return text, remark
    return None, None


def _read(text: str, zone: ZoneInfo) -> datetime:
    match = _INSTANT.fullmatch(text) if len(text) <= MAX_INSTANT_CHARS else None
    if match is None:
        raise _Fault(f"{quote(text)} is not an ISO 8601 date and time", suggest_iso(text, zone.key))
    day = _date(match, text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise _Fault(f"the year of {quote(text)} is not between {FIRST_YEAR} and {LAST_YEAR}")
    if match["hour"] is None:
        raise _Fault(f"{quote(text)} has no time of day", f"{text}T00:00")
    wall = to_wall(datetime(day.year, day.month, day.day)) + _time_of_day(match, day, text)  # noqa: DTZ001
    instant = wall - _offset(match, text) if match["offset"] else _in_zone(wall, text, zone)
    return _in_bounds(to_datetime(instant), text) + timedelta(microseconds=_microseconds(match))


def _date(match: re.Match[str], text: str) -> date:
    year = int(match["year"])
    try:
        if match["week"]:
            return date.fromisocalendar(year, int(match["week"]), int(match["weekday"]))
        if match["ordinal"]:
            day = date(year, 1, 1) + timedelta(days=int(match["ordinal"]) - 1)
            if day.year == year:
                return day
            raise ValueError
        return date(year, int(match["month"] or match["month_"]), int(match["day"] or match["day_"]))
    except (ValueError, OverflowError):
        suggestion, remark = _other_date(match, text)
        message = f"{quote(text)} names a date that does not exist: {_why_no_date(match, year)}"
        raise _Fault(message, suggestion, remark=remark) from None


def _why_no_date(match: re.Match[str], year: int) -> str:
    """Return why there is no such date. The words of `datetime` differ between releases of Python."""
    if year == 0:
        return "there is no year 0"
    if match["week"]:
        is_weekday = "1" <= match["weekday"] <= "7"
        return f"{year} has no week {match['week']}" if is_weekday else "the weekday is 1 to 7"
    if match["ordinal"]:
        return f"{year} has no day {match['ordinal']}"
    month = int(match["month"] or match["month_"])
    if not 1 <= month <= 12:
        return "the month is 01 to 12"
    return f"{year:04}-{month:02} has {monthrange(year, month)[1]} days"


def _other_date(match: re.Match[str], text: str) -> tuple[str | None, str | None]:
    """Return the text with the month's last day and a remark, or with month and day swapped."""
    if not (match["month"] or match["month_"]):
        return None, None
    year, month, day = int(match["year"]), int(match["month"] or match["month_"]), int(match["day"] or match["day_"])
    if month > 12 >= day:
        month, day = day, month
    if not (year and 1 <= month <= 12 and 1 <= day <= 31):
        return None, None
    last = monthrange(year, month)[1]
    remark = "the last day of that month" if day > last else None
    return f"{year:04}-{month:02}-{min(day, last):02}{text[match.end('date') :]}", remark


def _time_of_day(match: re.Match[str], day: date, text: str) -> int:
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if (hour, minute, second, _microseconds(match)) == (24, 0, 0, 0):
        return DAY
    if hour > 23 or minute > 59 or second > 59:
        raise _Fault(f"{quote(text)} names a time of day that does not exist", _carried(match, day))
    return hour * 3600 + minute * 60 + second


def _carried(match: re.Match[str], day: date) -> str | None:
    """Write the 60th second or minute, or an hour after midnight such as 25, as the following time."""
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    if hour > _LATEST_HOUR or minute > 60 or second > 60:
        return None
    at = datetime(day.year, day.month, day.day) + timedelta(hours=hour, minutes=minute, seconds=second)  # noqa: DTZ001
    return at.isoformat() + (match["offset"] or "")


def _microseconds(match: re.Match[str]) -> int:
    """Cut the fraction to whole milliseconds, the precision of the log, so that a slot equals its log text."""
    return int((match["fraction"] or "0")[:3].ljust(3, "0")) * 1000


def _offset(match: re.Match[str], text: str) -> int:
    if match["sign"] is None:
        return 0
    hours, minutes = int(match["off_hour"]), int(match["off_minute"] or 0)
    if hours > 15 or minutes > 59:
        raise _Fault(f"no place is as far from UTC as {quote(text)} says")
    return (-1 if match["sign"] == "-" else 1) * (hours * 3600 + minutes * 60)


def _in_zone(wall: int, text: str, zone: ZoneInfo) -> int:
    instants = instants_showing(zone, wall)
    if len(instants) == 1:
        return instants[0]
    if instants:
        passes = [_written(instant, zone) for instant in instants]
        raise _Fault(
            f"{quote(text)} comes more than once in {zone.key}, because the clock is set back",
            passes[0],
            f"write `{passes[0]}` for the first time, `{passes[-1]}` for the last",
        )
    after = first_instant_showing(zone, wall)
    raise _Fault(
        f"{quote(text)} does not exist in {zone.key}, because the clock is set forward",
        _written(after, zone),
        f"write `{_written(after, zone)}`, the first instant after the gap",
    )


def _written(instant: int, zone: ZoneInfo) -> str:
    """Format an instant so that it can be parsed again, with the zone's offset unless the offset has seconds."""
    offset = offset_at(zone, instant)
    if offset % 60:
        return to_naive(instant).isoformat() + "Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return to_naive(instant + offset).isoformat() + f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def _in_bounds(moment: datetime, text: str) -> datetime:
    if not datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) <= moment < datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC):
        raise _Fault(f"{quote(text)} is outside the years {FIRST_YEAR} to {LAST_YEAR} of UTC")
    return moment


_LOOSE = re.compile(
    r"""(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})
    (?:[\sTt,_]+(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2})(?P<fraction>[.,][0-9]+)?)?)?
    \s*(?P<offset>[Zz]|UTC|GMT|[+-][0-9]{1,2}:?(?:[0-9]{2})?)?)?(?:\[(?P<zone>.*)\])?""",
    re.VERBOSE | re.ASCII,
)


def suggest_iso(text: str, zone: str | None = None) -> str | None:
    """Return the ISO 8601 form of a date and time in another common notation, or None.

    A wall-clock time of another zone than `zone` has no such form.
    """
    plain = unicodedata.normalize("NFKC", text[:MAX_INSTANT_CHARS]).replace("\u2212", "-").strip()
    if re.fullmatch(r"[0-9]{9,10}(?:\.[0-9]*)?", plain, re.ASCII):
        return to_naive(int(plain.partition(".")[0])).isoformat() + "Z"
    match = _LOOSE.fullmatch(plain)
    if match is None:
        return plain if plain != text and plain.isascii() else None
    if match["zone"] not in (None, zone) and not match["offset"]:
        return None
    day = f"{match['year']}-{int(match['month']):02}-{int(match['day']):02}"
    if not match["hour"]:
        return day
    clock = ":".join(f"{int(match[unit] or 0):02}" for unit in ("hour", "minute", "second"))
    return f"{day}T{clock}{match['fraction'] or ''}{_plain_offset(match['offset'] or '')}"


def _plain_offset(offset: str) -> str:
    if offset in ("Z", "z", "UTC", "GMT"):
        return "Z"
    digits = offset[1:].replace(":", "")
    return f"{offset[0]}{digits[:-2] or digits:0>2}:{digits[-2:] if len(digits) > 2 else '00'}" if offset else ""
