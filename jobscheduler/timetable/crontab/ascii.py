"""A schedule in ASCII, for one that holds characters from elsewhere."""

from __future__ import annotations

import unicodedata

from jobscheduler.timetable.crontab.parser import LONGEST
from jobscheduler.timetable.crontab.suggestion import NoGuess


def plain(text: str) -> str:
    """Write the text in ASCII: digits of other scripts, dashes, other blanks, without quotes and the invisible.

    Raises:
        NoGuess: it holds a character that stands for nothing a schedule may hold.

    """
    return "".join(map(_plain_character, text[:LONGEST])).strip()


_PLAIN = {"\u2217": "*", "\u00d7": "*", "\u2022": "*", "\u2044": "/", "\u2215": "/", "\u2212": "-"}
_SAME_BUT_FOR_FORM = ("<wide>", "<narrow>", "<small>")


def _plain_character(character: str) -> str:
    if character.isspace():
        return " "
    if character.isascii() and character.isprintable():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.decomposition(character).startswith(_SAME_BUT_FOR_FORM):
        return _plain_character(unicodedata.normalize("NFKC", character))
    by_category = {"Pd": "-", "Pi": "", "Pf": "", "Cf": ""}
    plain = _PLAIN.get(character, by_category.get(unicodedata.category(character)))
    if plain is None:
        raise NoGuess
    return plain
