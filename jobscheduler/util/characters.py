"""Characters that look like others: the name of each, and what ASCII has instead."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_ASCII = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\uff07", "'"),
    "\u2212": "-",
}
_BLANKS = ("Zs", "Zl", "Zp")


def describe_character(character: str) -> str:
    """Return code and name of a character: `U+00A0, no-break space`."""
    name = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X}, {name}"


def ascii_equivalent(character: str) -> str | None:
    """Return what ASCII has for a character: a blank, `"`, `-`, empty for an invisible one; None if nothing."""
    category = unicodedata.category(character)
    if category in _BLANKS or character.isspace():
        return " "
    if category == "Cf":
        return ""
    if character in _ASCII or category == "Pd":
        return _ASCII.get(character, "-")
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() and plain.isprintable() else None


def suggest_replacement(character: str) -> str | None:
    """Return the help for a character that ASCII has another one for; None if it has none."""
    equivalent = ascii_equivalent(character)
    if equivalent is None:
        return None
    return {" ": "replace it by a blank", "": "delete it"}.get(equivalent, f"write `{equivalent}` instead")


def is_invisible(character: str) -> bool:
    """Return whether a character is a blank other than that of the keyboard, or one that is not seen at all."""
    return not character.isascii() and unicodedata.category(character) in (*_BLANKS, "Cf")


def has_half_pair(text: str) -> bool:
    """Return whether a text holds half a surrogate pair, which UTF-8 cannot represent."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def invisible_characters(text: str) -> Iterator[str]:
    """Yield each different character of a text that is taken for a blank or not seen at all."""
    if not text.isascii():
        yield from dict.fromkeys(character for character in text if is_invisible(character))
