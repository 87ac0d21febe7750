"""Read the year field that other grammars have as their last field.

Here a schedule has no years; `not_before` and `not_after` bound it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from jobscheduler.timetable.crontab.suggestion import NoSuggestion

_FIRST, _LAST = 1970, 2199
_ITEM = re.compile(r"(?P<low>\*|[0-9]{4})(?:-(?P<high>[0-9]{4}))?(?:/(?P<step>[0-9]{1,3}))?")


class Years(NamedTuple):
    """The years of a schedule, in order."""

    years: tuple[int, ...]

    @property
    def is_contiguous(self) -> bool:
        """Whether every year from the first to the last is included."""
        return len(self.years) == self.years[-1] - self.years[0] + 1

    @property
    def note(self) -> str:
        """Describe how to bound a job to these years."""
        if not self.is_contiguous:
            return "a schedule has no years; give a job for each, bounded by `not_before` and `not_after`"
        first, last = self.years[0], self.years[-1]
        return (
            "a schedule has no years; these are bounded by "
            f'`"not_before": "{first}-01-01T00:00:00", "not_after": "{last}-12-31T23:59:59"`'
        )

    def help_with(self, text: str) -> str | None:
        """Return the help to write a line with bounds; None if two bounds cannot express the years."""
        return f"write `{text}`, and bound the job to those years" if self.is_contiguous else None


def looks_like_years(word: str) -> bool:
    """Return whether a word holds only years; lists, ranges and steps are included."""
    return all(_ITEM.fullmatch(item) and item[0] != "*" for item in word.split(","))


def parse_years(word: str) -> Years | None:
    """Read a field of years; None if it holds every year.

    Raises:
        NoSuggestion: the word is not a field of years.

    """
    years = {year for item in word.split(",") for year in _years(item)}
    if not years or not all(_FIRST <= year <= _LAST for year in years):
        raise NoSuggestion
    return None if len(years) > _LAST - _FIRST else Years(tuple(sorted(years)))


def _years(item: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None or (match["low"] == "*" and match["high"]):
        raise NoSuggestion
    low = _FIRST if match["low"] == "*" else int(match["low"])
    high = int(match["high"] or (_LAST if match["step"] or match["low"] == "*" else low))
    step = int(match["step"] or 1)
    if step < 1:
        raise NoSuggestion
    return range(low, high + 1, step)
