"""Read the lines of a crontab that set variables, as `load_env` of Debian's cron does."""

from __future__ import annotations

import re
from typing import NamedTuple

_NAME = r"""(?:'(?P<single>[^'=]*)'|"(?P<double>[^"=]*)"|(?P<bare>[^'"\s=][^\s=]*))"""
_LINE = re.compile(rf"[ \t]*{_NAME}\s*=\s*(?P<value>.*?)\s*")
_QUOTED = re.compile(r"""(?P<quote>['"])(?P<text>.*?)(?P=quote)""")
_QUOTES = "'\""


class Assignment(NamedTuple):
    """A variable and its value. `is_bare` marks an empty value without quotes, for which Debian's cron has no form."""

    name: str
    value: str
    is_bare: bool = False


def parse_assignment(line: str) -> Assignment | None:
    """Return the variable that a line sets; None for a line that sets none. Nothing in a value is expanded."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    name = match["single"] or match["double"] or match["bare"]
    value = match["value"]
    if not name:
        return None
    if not value or value[0] not in _QUOTES:
        return Assignment(name, value, not value)
    quoted = _QUOTED.fullmatch(value)
    if quoted is None or quoted["quote"] in quoted["text"]:
        return None
    return Assignment(name, _without_inner_quotes(quoted["text"]))


def _without_inner_quotes(value: str) -> str:
    """Return a value without a second pair of quotes: cron removes that too."""
    is_quoted = len(value) > 1 and value[0] in _QUOTES and value[0] == value[-1]
    return value[1:-1] if is_quoted else value
