"""Translate lines of Jenkins, where `H` stands for a number that Jenkins picks, to crontab."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobscheduler.timetable.crontab.parser import DAY, FIELDS, WEEKDAY, Field
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion

_HASH = re.compile(r"[Hh](?:\((?P<low>[0-9]+)-(?P<high>[0-9]+)\))?(?:/(?P<step>[0-9]+))?")
JITTER = "to spread jobs over time, give them a `jitter`"


def from_jenkins(words: Sequence[str]) -> Suggestion | None:
    """Translate a line with `H`, which lets Jenkins pick a number, using the first number; None without `H`.

    Raises:
        NoSuggestion: the line restricts both day fields, where Jenkins wants both to match and here either may. Or
            Jenkins refuses the line.

    """
    if len(words) != 5 or not any(_HASH.fullmatch(item) for word in words for item in word.split(",")):
        return None
    if not any(words[position] in ("*", "H/1", "h/1") for position in (2, 4)):
        raise NoSuggestion(notes=("in Jenkins a day must match both day fields, here one of the two",))
    fields = [
        ",".join(_without_hash(item, field) for item in word.split(","))
        for word, field in zip(words, FIELDS[1:], strict=True)
    ]
    return Suggestion(" ".join(fields), None, ("`H` lets Jenkins pick a number; this is the first one", JITTER))


def _without_hash(item: str, field: Field) -> str:
    match = _HASH.fullmatch(item)
    if match is None:
        return item
    highest = 28 if field is DAY else 6 if field is WEEKDAY else field.high
    low, high = match["low"] or str(field.low), match["high"] or str(highest)
    if not field.low <= int(low) <= int(high) <= field.high:
        raise NoSuggestion
    if match["step"] and not 1 <= int(match["step"]) <= int(high) - int(low) + 1:
        raise NoSuggestion
    return f"{low}-{high}/{match['step']}" if match["step"] else low
