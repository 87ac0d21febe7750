r"""Text that others wrote, made harmless for a terminal: colours where they are wanted, everything else spelled out.

1. A colour (SGR, `ESC [ … m`) stays where colours are wanted, and is left out elsewhere. Bold, faint, underlined and
   inverse text count as colours. What blinks or conceals does not: a job could hide its text.
2. Line ends and tabs stay; `\r\n` is a line end.
3. Spaces of every width stay. Every other character that does not print is spelled out: `\x1b`, `\u202e`. So is each
   byte that is not UTF-8.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

_STYLE = r"[01247]|2[1247]"
_BASIC = r"[34][0-79]|9[0-7]|10[0-7]|59"
_FROM_TABLE = r"[345]8(?:;5;|:5:)[0-9]{1,3}|[345]8;2(?:;[0-9]{1,3}){3}|[345]8:2(?::[0-9]{0,3}){3,5}|4:[0-5]"
_ATTRIBUTE = rf"(?:0{{0,2}}(?:{_STYLE}|{_BASIC}|{_FROM_TABLE}))?"
_COLOUR = re.compile(rf"\x1b\[(?=[0-9;:]{{0,60}}m){_ATTRIBUTE}(?:;{_ATTRIBUTE})*m")
_UNFINISHED = re.compile(r"(?:\r|\x1b(?:\[[0-9;:]{0,60})?)\Z")
_PLAIN = "\x1b[0m"


def printable(text: str) -> str:
    """Spell out all that does not print, line ends and colours too: a cell, a name, a line of a message."""
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _spelled(character) for character in text)


def printable_lines(text: str, *, colours: bool = False) -> str:
    """Spell out all that does not print but line ends and tabs. Colours stay if they are wanted, else they go."""
    parts = []
    for part, colour in _split_at_colours(text.replace("\r\n", "\n")):
        parts.append(part if part.isprintable() else "".join(map(_spelled_in_lines, part)))
        parts.append(colour if colours else "")
    return "".join(parts)


def printable_line(text: str) -> str:
    """Return an output as one line: without its colours, line ends shown as a sign, all else spelled out."""
    return printable(_COLOUR.sub("", text).replace("\r\n", "\n").strip().replace("\n", " ⏎ "))


class TerminalText:
    """Makes an output harmless that comes in parts: nothing is judged before it is whole."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._rest = ""
        self._is_coloured = False

    def add(self, data: bytes) -> str:
        """Return what can be shown after these bytes."""
        return self._shown(self._rest + self._decoder.decode(data), is_last=False)

    def end(self) -> str:
        """Return what is left at the end, without a colour that would go on."""
        shown = self._shown(self._rest + self._decoder.decode(b"", final=True), is_last=True)
        was_coloured, self._is_coloured = self._is_coloured, False
        return shown + (_PLAIN if was_coloured else "")

    def _shown(self, text: str, *, is_last: bool) -> str:
        unfinished = None if is_last else _UNFINISHED.search(text)
        end = len(text) if unfinished is None else unfinished.start()
        self._rest = text[end:]
        shown = printable_lines(text[:end], colours=self._colours)
        if self._colours and (last := shown.rfind("\x1b[")) >= 0:
            self._is_coloured = not shown.startswith((_PLAIN, "\x1b[m"), last)
        return shown


def _split_at_colours(text: str) -> list[tuple[str, str]]:
    if "\x1b" not in text:
        return [(text, "")]
    parts = _COLOUR.split(text)
    return list(zip(parts, [*_COLOUR.findall(text), ""], strict=True))


def _spelled_in_lines(character: str) -> str:
    return character if character in "\n\t" or _is_harmless(character) else _spelled(character)


def _is_harmless(character: str) -> bool:
    """Return whether a character prints, or is a space: also the unbreakable one, which programs in French print."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
