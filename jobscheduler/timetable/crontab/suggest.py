"""Suggest a valid line with the slots that a refused line was meant to have, or none.

A line may have several faults. Each is fixed where parsing stopped, until the line is valid. A rule translates the
text from its likely origin: another grammar, cronie, a crontab's user column, another field. A text with two meanings,
or one that crontab cannot express, gets no suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from jobscheduler.timetable.crontab.ascii import to_ascii
from jobscheduler.timetable.crontab.dialects import simplest
from jobscheduler.timetable.crontab.foreign_lines import is_user_or_command, looks_like_field, to_crontab
from jobscheduler.timetable.crontab.full_names import shorten_names
from jobscheduler.timetable.crontab.parser import (
    DAY,
    FIELDS,
    HOUR,
    MACROS,
    MINUTE,
    MONTH,
    MONTH_NAMES,
    SECOND,
    WEEKDAY,
    WEEKDAY_NAMES,
    Field,
    SyntaxFault,
    Word,
    parse_expression,
    split_words,
)
from jobscheduler.timetable.crontab.suggestion import NoSuggestion, Suggestion
from jobscheduler.timetable.crontab.unknown_items import DEBIAN_IGNORES, NO_FORM, find_form

__all__ = ["DEBIAN_IGNORES", "suggest", "suggestion"]

_MAX_FAULTS = 60  # faults of one line that are fixed


def suggest(text: str, fault: SyntaxFault) -> str | None:
    """Return the valid line for a line with this fault, or None."""
    return suggestion(text, fault).text


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
    text, is_last_day = translation.text or "", False
    for _ in range(_MAX_FAULTS):
        fault = _fault_of(text)
        if fault is None:
            text = simplest(text, written)
            return Suggestion(
                text, f"write `{text}` for the last day of the month" if is_last_day else None, translation.notes
            )
        _check_both_days(text, fault)
        text, is_last_day = _FIXES[fault.kind](text, fault), is_last_day or fault.kind == "never"
    raise NoSuggestion


def _fault_of(text: str) -> SyntaxFault | None:
    try:
        parse_expression(text)
    except SyntaxFault as fault:
        return fault
    return None


def _check_both_days(text: str, fault: SyntaxFault) -> None:
    """Refuse `a/b` in six fields that restrict both day fields: in Spring both must match, here either is enough."""
    words = [word.text for word in split_words(text)]
    if fault.kind == "single step" and len(words) == 6 and not any(words[n].startswith("*") for n in (3, 5)):
        raise NoSuggestion(notes=("in Spring a day must match both day fields, here one of the two",))


# The fix for each kind of fault: the line and the fault -> a better line.


def _replaced(text: str, word: Word, new: str) -> str:
    return text[: word.start] + new + text[word.start + len(word.text) :]


_SHORT_MACROS = {"@hour": "@hourly", "@day": "@daily", "@week": "@weekly", "@month": "@monthly", "@year": "@yearly"}


def _macro(text: str, fault: SyntaxFault) -> str:
    """Find the macro that differs only in case or by one typing mistake."""
    next_word = text.split()[1:2]
    if next_word and not is_user_or_command(next_word[0]):  # `@daily 5` is not every midnight
        raise NoSuggestion
    name = fault.word.text.lower()[:20]
    name = _SHORT_MACROS.get(name, name)
    return (
        name
        if name in (*MACROS, "@reboot")
        else _single([macro for macro in (*MACROS, "@reboot") if _is_typo(name, macro)])
    )


def _single(candidates: Iterable[str]) -> str:
    """Return the only candidate.

    Raises:
        NoSuggestion: there are none or several.

    """
    options = list(candidates)
    if len(options) != 1:
        raise NoSuggestion
    return options[0]


def _is_typo(wrong: str, right: str) -> bool:
    """Return whether two words are one typing mistake apart: a letter more, less or other, or two of them swapped."""
    while wrong and right and wrong[0] == right[0]:
        wrong, right = wrong[1:], right[1:]
    while wrong and right and wrong[-1] == right[-1]:
        wrong, right = wrong[:-1], right[:-1]
    return max(len(wrong), len(right)) <= 1 or (len(wrong) == 2 and wrong == right[::-1])


def _count(text: str, _: SyntaxFault) -> str:
    """Add the one star that is missing at the end, or the `@` of a macro."""
    words = [word.text for word in split_words(text)] or [""]
    if len(words) == 1 and f"@{words[0].lower()}" in (*MACROS, "@reboot"):
        return f"@{words[0].lower()}"
    at_the_end = words[-1] == "*" or words[-1].isalpha()
    if len(words) != 4 or not at_the_end or not all(map(looks_like_field, words)):
        raise NoSuggestion
    return " ".join([*words, "*"])


def _never(text: str, _: SyntaxFault) -> str:
    """Write the last day of the month for a day that the months do not have."""
    words = [word.text for word in split_words(text)]
    if not words[-1].startswith("*") or not re.fullmatch(r"[0-9,]+", words[-3]):
        raise NoSuggestion
    words[-3] = "L"
    return " ".join(words)


def _empty(text: str, fault: SyntaxFault) -> str:
    items = ",".join(filter(None, fault.word.text.split(",")))
    if not items:
        raise NoSuggestion
    return _replaced(text, fault.word, items)


def _single_step(text: str, fault: SyntaxFault) -> str:
    """Write the range: `5/20` is `5-59/20`. A star would change the day rule and the effect of clock changes."""
    field = fault.field or WEEKDAY
    first, step = fault.word.text.split("/")
    low = field.names[first.lower()] if first.lower() in field.names else int(first) if first.isdigit() else -1
    if not field.low <= low <= field.high or int(step) < 1:
        raise NoSuggestion
    if field is WEEKDAY and low == 7:  # Sunday as the last day of the week, or as the first
        raise NoSuggestion
    if low + int(step) > field.high:
        return _replaced(text, fault.word, first)
    if field is WEEKDAY:
        return _replaced(text, fault.word, _weekday_step(first, low, int(step), text, fault))
    return _replaced(text, fault.word, f"{first}-{field.high}/{step}")


def _weekday_step(first: str, low: int, step: int, text: str, fault: SyntaxFault) -> str:
    """Write the steps up to Saturday.

    Raises:
        NoSuggestion: going on to Sunday, 7, makes a difference. Programs differ there.

    """
    until = {end: f"{first}-{end if first.isdigit() else WEEKDAY_NAMES[end % 7]}/{step}" for end in (6, 7)}
    if low and (7 - low) % step == 0:
        saturday, sunday = (_replaced(text, fault.word, until[end]) for end in (6, 7))
        if _fault_of(saturday) or _fault_of(sunday):
            raise NoSuggestion
        raise NoSuggestion(f"write `{saturday}` for steps up to Saturday, `{sunday}` for steps up to Sunday")
    return until[6]


def _nth(text: str, fault: SyntaxFault) -> str:
    raise NoSuggestion


def _backwards(text: str, fault: SyntaxFault) -> str:
    """Wrap around the end of the hour, day, month, year or week, as `22-2` does in other crons."""
    field = fault.field or WEEKDAY
    span, _, step = fault.word.text.partition("/")
    low, high = span.split("-")
    first, last = (field.names.get(end.lower(), 0) if end.isalpha() else int(end) for end in (low, high))
    start = 1 if field is WEEKDAY else field.low
    if field is WEEKDAY and first == 7:
        return _replaced(text, fault.word, f"0-{high}" + (f"/{step}" if step else ""))
    if step:
        numbers = [*range(first, field.high + 1), *range(start, last + 1)][:: int(step) or 1]
        return _replaced(text, fault.word, ",".join(map(str, numbers)))
    top = _as_written(field, field.high, low)
    head = low if first == field.high else f"{low}-{top}"
    tail = high if last == start else f"{_as_written(field, start, high)}-{high}"
    return _replaced(text, fault.word, f"{head},{tail}")


def _as_written(field: Field, number: int, like: str) -> str:
    """Write a number as a name if `like` is a name."""
    if not like.isalpha():
        return str(number)
    return (WEEKDAY_NAMES[number % 7]) if field is WEEKDAY else MONTH_NAMES[number - 1]


def _step(text: str, fault: SyntaxFault) -> str:
    """Cut a step that is too large to the field's length: both match only the first number."""
    field = fault.field or WEEKDAY
    base, _, step = fault.word.text.partition("/")
    if int(step) == 0:
        raise NoSuggestion
    return _replaced(text, fault.word, f"{base}/{field.high - field.low + 1}")


def _name(text: str, fault: SyntaxFault) -> str:
    """Move the name to its own field, else find the name with the closest spelling."""
    field = fault.field or WEEKDAY
    names = re.findall(r"[A-Za-z]{3}", fault.word.text)
    other = next((f for f in (MONTH, WEEKDAY) if all(name.lower() in f.names for name in names)), None)
    if other is not None:
        return _moved(text, fault, other)
    if not field.names:
        raise NoSuggestion
    wrong = next(name for name in names if name.lower() not in field.names)
    right = _single(name for name in field.names if _is_typo(wrong.lower(), name))
    return _replaced(text, fault.word, fault.word.text.replace(wrong, right))


def _moved(text: str, fault: SyntaxFault, to: Field) -> str:
    """Swap an item with the star of another field, if that field is free."""
    words = [word.text for word in split_words(text)]
    target = FIELDS.index(to) - len(FIELDS)
    source = next(n for n, word in enumerate(split_words(text)) if word.start + len(word.text) > fault.word.start)
    fields = FIELDS[-len(words) :]
    if words[target] not in ("*", words[source]) or words[source] != fault.word.text:
        raise NoSuggestion
    if fields[source] in (SECOND, MINUTE, HOUR):  # the intended time of day is not known
        raise NoSuggestion
    words[target], words[source] = words[source], "*"
    return " ".join(words)


def _range(text: str, fault: SyntaxFault) -> str:
    """Write the 60th minute or the 24th hour as the 0th where that is the same; cut a range that is too long.

    A number is never replaced by the nearest one: a 32nd day is not the 31st.
    """
    field = fault.field or WEEKDAY
    span, slash, step = fault.word.text.partition("/")
    low, dash, high = span.partition("-")
    if field in (SECOND, MINUTE, HOUR) and span == str(field.high + 1) and not slash:
        return _over_the_end(text, fault.word, field)
    if not (dash and low.isdigit() and high.isdigit()) or not field.low <= int(low) <= field.high < int(high):
        raise NoSuggestion
    numbers = range(int(low), min(int(high), 10 * field.high) + 1, int(step or 1) or 1)
    if not _is_unambiguous([number for number in numbers if number > field.high], int(low), field):
        raise NoSuggestion
    return _replaced(text, fault.word, f"{low}-{field.high}{slash}{step}")


def _is_unambiguous(over: list[int], low: int, field: Field) -> bool:
    """Return whether numbers beyond the field add nothing: there are none, or only the 60th of a range from 0."""
    return not over or (over == [field.high + 1] and low == field.low == 0 and field is not WEEKDAY)


def _over_the_end(text: str, word: Word, field: Field) -> str:
    """Write the first number of a field for the one after its last, if every larger unit is a star."""
    larger_units = [field_word.text for field_word in split_words(text) if field_word.start > word.start]
    if any(field_word != "*" for field_word in larger_units):
        raise NoSuggestion
    return _replaced(text, word, str(field.low))


def _form(text: str, fault: SyntaxFault) -> str:
    field, item = fault.field or WEEKDAY, fault.word.text
    if (shorter := shorten_names(item)) != item:
        return _replaced(text, fault.word, shorter)
    form = find_form(item, field)
    if form is NO_FORM or form.is_ambiguous:
        raise NoSuggestion
    if form.suggestion is None:
        return _moved(text, fault, WEEKDAY)
    last = "L" if field is DAY else "6" if field is WEEKDAY else str(field.high)
    match = re.fullmatch(form.pattern, item, re.DOTALL)
    replacement = match.expand(form.suggestion) if match else form.suggestion
    for name, value in {"{low}": str(field.low), "{high}": str(field.high), "{last}": last}.items():
        replacement = replacement.replace(name, value)
    return _replaced(text, fault.word, replacement)


_FIXES: dict[str, Callable[[str, SyntaxFault], str]] = {
    "macro": _macro,
    "count": _count,
    "never": _never,
    "empty": _empty,
    "form": _form,
    "single step": _single_step,
    "nth": _nth,
    "backwards": _backwards,
    "step": _step,
    "name": _name,
    "range": _range,
}
