"""Suggest a valid line with the slots that a refused line was meant to have, or none.

A line may have several faults. Each is fixed where parsing stopped, until the line is valid. A rule translates the
text from its likely origin: another grammar, cronie, a crontab's user column, another field. A text with two meanings,
or one that crontab cannot express, gets no suggestion.
"""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.timetable.crontab.ascii import to_ascii
from jobscheduler.timetable.crontab.foreign_lines import to_crontab
from jobscheduler.timetable.crontab.item_fixes import (
    fix_backwards,
    fix_empty,
    fix_form,
    fix_name,
    fix_range,
    fix_single_step,
    fix_step,
)
from jobscheduler.timetable.crontab.line_fixes import fault_of, fix_count, fix_macro, fix_never
from jobscheduler.timetable.crontab.parser import SyntaxFault, split_words
from jobscheduler.timetable.crontab.simplest_form import simplest
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion

_MAX_FAULTS = 60  # faults of one line that are fixed


def suggestion(text: str, fault: SyntaxFault) -> Suggestion:
    """Return the suggestion for a line with this fault; it has no text if no meaning is clear."""
    if fault.kind == "long" or (fault.kind == "count" and not fault.word.text):
        return Suggestion()
    try:
        translation = to_crontab(to_ascii(text) if fault.kind == "character" else text)
        return _fix_faults(translation, text.split())
    except NoSuggestion as none:
        return Suggestion(None, none.help, none.notes)


def _fix_faults(translation: Suggestion, written: list[str]) -> Suggestion:
    """Fix one fault after the other until the line is valid."""
    text, is_last_day = translation.text or "", False
    for _ in range(_MAX_FAULTS):
        fault = fault_of(text)
        if fault is None:
            text = simplest(text, written)
            return Suggestion(
                text, f"write `{text}` for the last day of the month" if is_last_day else None, translation.notes
            )
        _check_both_days(text, fault)
        fix = _FIXES.get(fault.kind)
        if fix is None:
            raise NoSuggestion
        text, is_last_day = fix(text, fault), is_last_day or fault.kind == "never"
    raise NoSuggestion


def _check_both_days(text: str, fault: SyntaxFault) -> None:
    """Refuse `a/b` in six fields that restrict both day fields: in Spring both must match, here either is enough."""
    words = [word.text for word in split_words(text)]
    if fault.kind == "single step" and len(words) == 6 and not any(words[n].startswith("*") for n in (3, 5)):
        raise NoSuggestion(notes=("in Spring a day must match both day fields, here one of the two",))


# The fix for each kind of fault: the line and the fault -> a better line. Without one nothing is suggested.
_FIXES: dict[str, Callable[[str, SyntaxFault], str]] = {
    "macro": fix_macro,
    "count": fix_count,
    "never": fix_never,
    "empty": fix_empty,
    "form": fix_form,
    "single step": fix_single_step,
    "backwards": fix_backwards,
    "step": fix_step,
    "name": fix_name,
    "range": fix_range,
}
