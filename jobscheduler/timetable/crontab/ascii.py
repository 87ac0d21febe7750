"""A schedule in ASCII, for one that holds characters from elsewhere."""

from __future__ import annotations

import unicodedata

from jobscheduler.timetable.crontab.parser import MAX_SCHEDULE_CHARS
from jobscheduler.timetable.crontab.suggestion import NoSuggestion


def to_ascii(text: str) -> str:
    """Write the text in ASCII: digits of other scripts, dashes, other blanks, without quotes and the invisible.

    Raises:
        NoGuess: it holds a character that stands for nothing a schedule may hold.

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
