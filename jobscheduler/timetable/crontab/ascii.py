"""Convert a schedule with characters of other scripts to ASCII."""

from __future__ import annotations

import unicodedata

from jobscheduler.timetable.crontab.parser import MAX_SCHEDULE_CHARS
from jobscheduler.timetable.crontab.suggestion import NoSuggestion


def to_ascii(text: str) -> str:
    """Convert digits of other scripts, dashes and blanks to ASCII; drop quotes and invisible characters.

    Raises:
        NoSuggestion: a character has no counterpart in a schedule.

    """
    return "".join(map(_ascii_character, text[:MAX_SCHEDULE_CHARS])).strip()


_ASCII = {"\u2217": "*", "\u00d7": "*", "\u2022": "*", "\u2044": "/", "\u2215": "/", "\u2212": "-"}
_COMPATIBLE_FORMS = ("<wide>", "<narrow>", "<small>")


def _ascii_character(character: str) -> str:
    if character.isspace():
        return " "
    if character.isascii() and character.isprintable():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.decomposition(character).startswith(_COMPATIBLE_FORMS):
        return _ascii_character(unicodedata.normalize("NFKC", character))
    by_category = {"Pd": "-", "Pi": "", "Pf": "", "Cf": ""}
    plain = _ASCII.get(character, by_category.get(unicodedata.category(character)))
    if plain is None:
        raise NoSuggestion
    return plain
