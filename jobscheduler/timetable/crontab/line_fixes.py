"""Fixes for the words of a refused line: its macro, their number, a name in another field's place.

Each takes a line and its fault and returns a better line. It raises NoSuggestion if the meaning is not clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobscheduler.timetable.crontab.foreign_lines import is_user_or_command, looks_like_field
from jobscheduler.timetable.crontab.parser import (
    ALL_MACROS,
    FIELDS,
    HOUR,
    MINUTE,
    SECOND,
    Field,
    SyntaxFault,
    Word,
    parse_expression,
    split_words,
)
from jobscheduler.timetable.crontab.suggestion import NoSuggestion


def fault_of(text: str) -> SyntaxFault | None:
    """Return the first fault of a line, None if it is valid."""
    try:
        parse_expression(text)
    except SyntaxFault as fault:
        return fault
    return None


def replace_word(text: str, word: Word, new: str) -> str:
    """Return the line with another text for one word or item."""
    return text[: word.start] + new + text[word.start + len(word.text) :]


_SHORT_MACROS = {"@hour": "@hourly", "@day": "@daily", "@week": "@weekly", "@month": "@monthly", "@year": "@yearly"}


def fix_macro(text: str, fault: SyntaxFault) -> str:
    """Find the macro that differs only in case or by one typing mistake."""
    next_word = text.split()[1:2]
    if next_word and not is_user_or_command(next_word[0]):  # `@daily 5` is not every midnight
        raise NoSuggestion
    name = fault.word.text.lower()[:20]
    name = _SHORT_MACROS.get(name, name)
    known = ALL_MACROS
    return name if name in known else only_candidate(macro for macro in known if is_typo(name, macro))


def only_candidate(candidates: Iterable[str]) -> str:
    """Return the only candidate.

    Raises:
        NoSuggestion: there are none or several.

    """
    options = list(candidates)
    if len(options) != 1:
        raise NoSuggestion
    return options[0]


def is_typo(wrong: str, right: str) -> bool:
    """Return whether two words are one typing mistake apart: a letter more, less or other, or two of them swapped."""
    while wrong and right and wrong[0] == right[0]:
        wrong, right = wrong[1:], right[1:]
    while wrong and right and wrong[-1] == right[-1]:
        wrong, right = wrong[:-1], right[:-1]
    return max(len(wrong), len(right)) <= 1 or (len(wrong) == 2 and wrong == right[::-1])


def fix_count(text: str, _: SyntaxFault) -> str:
    """Add the one star that is missing at the end, or the `@` of a macro."""
    words = [word.text for word in split_words(text)] or [""]
    if len(words) == 1 and f"@{words[0].lower()}" in ALL_MACROS:
        return f"@{words[0].lower()}"
    at_the_end = words[-1] == "*" or words[-1].isalpha()
    if len(words) != 4 or not at_the_end or not all(map(looks_like_field, words)):
        raise NoSuggestion
    return " ".join([*words, "*"])


def fix_never(text: str, _: SyntaxFault) -> str:
    """Write the last day of the month for a day that the months do not have."""
    words = [word.text for word in split_words(text)]
    if not words[-1].startswith("*") or not re.fullmatch(r"[0-9,]+", words[-3]):
        raise NoSuggestion
    words[-3] = "L"
    return " ".join(words)


def move_to_field(text: str, fault: SyntaxFault, to: Field) -> str:
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
