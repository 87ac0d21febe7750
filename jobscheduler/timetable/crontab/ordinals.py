"""Translate weekdays counted in words, `2nd tue` or `last fri` as in APScheduler, to `tue#2` and `friL`.

The two words may be in the field of the day, or in that of the day and the next one:
`0 0 2nd tue * *` and `0 0 2nd tue *` both mean `0 0 * * tue#2`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.parser import MONTH_NAMES, WEEKDAY_NAMES
from jobscheduler.timetable.crontab.suggestion import NoSuggestion

_ORDINAL = r"(?:[0-9]+(?:st|nd|rd|th)|last)"
_NUMBER = r"[0-9*?,/-]+"
_ONE_ORDINAL = rf"(?:[1-5](?:st|nd|rd|th)|last) (?:{'|'.join(WEEKDAY_NAMES)})"
_MONTH = rf"(?:[0-9*,/-]|{'|'.join(MONTH_NAMES)})+"
_LINE = re.compile(
    rf"(?P<times>(?:{_NUMBER} )?{_NUMBER} {_NUMBER}) "
    rf"(?:(?P<days>{_ONE_ORDINAL}(?:,{_ONE_ORDINAL})*) (?P<month>{_MONTH})(?: \*)?|"
    rf"\* (?P<later_month>{_MONTH}) (?P<later>{_ONE_ORDINAL}))",
    re.IGNORECASE,
)
_HELP = "write `tue#2` as the weekday for the second Tuesday of a month, `friL` for its last Friday"


def from_ordinals(words: Sequence[str]) -> str | None:
    """Translate a line with a weekday that is counted in words; None if the line has none.

    Raises:
        NoSuggestion: it is not clear whether an ordinal or `last` counts the weekday beside it.

    """
    short = [shorten_names(word) for word in words]
    if not any(re.search(rf"(?<![\w#]){_ORDINAL}\b", word, re.IGNORECASE) for word in words):
        return None
    if match := _LINE.fullmatch(" ".join(short)):
        return _as_crontab(match)
    names = re.compile(rf"(?:^|[,-])(?:{'|'.join(WEEKDAY_NAMES)})", re.IGNORECASE)
    if any(names.search(word) for word in short) or "last" in words[-1].lower().split(","):
        raise NoSuggestion(_HELP)
    return None


def _as_crontab(match: re.Match[str]) -> str:
    days = match["days"] or match["later"]
    pairs = [pair.split() for pair in days.split(",")]
    counted = [f"{name}L" if count.lower() == "last" else f"{name}#{count[0]}" for count, name in pairs]
    return f"{match['times']} * {match['month'] or match['later_month']} {','.join(counted)}"
