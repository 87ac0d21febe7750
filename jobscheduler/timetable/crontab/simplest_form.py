"""Write a crontab line in its simplest form."""

from __future__ import annotations

from collections.abc import Sequence

from jobscheduler.timetable.crontab.parser import FIELDS, WEEKDAY, SyntaxFault, parse_expression


def simplest(text: str, written: Sequence[str] = ()) -> str:
    """Write `*/5` for `0-59/5` where the meaning is the same, except in fields `written` so by the user."""
    words = text.split()
    fields = FIELDS[-len(words) :]
    for position, field in enumerate(fields):
        start = f"{field.low}-{6 if field is WEEKDAY else field.high}/"
        if words[position].startswith(start) and words[position] not in written:
            starred = [*words[:position], "*/" + words[position].removeprefix(start), *words[position + 1 :]]
            words = starred if _same(" ".join(starred), " ".join(words)) else words
    return " ".join(words)


def _same(first: str, second: str) -> bool:
    try:
        return parse_expression(first) == parse_expression(second)
    except SyntaxFault:  # a form that is not valid has no equal
        return False
