"""Lay out tables for a terminal: columns that fit its width, colour, and escaped cells."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TextIO

from jobscheduler.util.terminal_text import printable

Row = Sequence[str]

MEASURED = 1000  # rows that decide the widths of the columns; a table may have millions
NARROW = 8  # characters that a cut column keeps, if the table then fits

_GAP = "  "
_CUT = "…"
_CODES = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. With `keep_whole` it is cut last, for values that are useless when cut, such as a time.

    `colour_of` returns the colour of a cell (`red`, `green`, `yellow`, `bold`, `dim`) from its text, or None.
    """

    title: str
    right: bool = False
    keep_whole: bool = False
    colour_of: Callable[[str], str | None] = lambda text: None


def use_colour(to: TextIO) -> bool:
    """Return whether to write in colour: on a capable terminal, unless `NO_COLOR` is set."""
    return to.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output; None without one, because a pipe gets whole cells."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def colourize(text: str, colour: str | None) -> str:
    """Return the text in a colour; unchanged without one."""
    return f"{_CODES[colour]}{text}{_PLAIN}" if colour else text


def table(columns: Sequence[Column], rows: Iterable[Row], *, width: int | None, colour: bool = False) -> Iterator[str]:
    """Yield the lines of a table, its titles first. Rows are read lazily, so there may be any number.

    With a `width` no line is longer than that: long cells are cut. Without one, later rows may be wider than the
    first thousand were.
    """
    cells = ([printable(cell) for cell in row] for row in rows)
    first = list(islice(cells, MEASURED))
    titles = [column.title for column in columns]
    natural = [max(map(display_width, cells_of)) for cells_of in zip(titles, *first, strict=True)]
    widths = natural if width is None else _fitted(natural, [column.keep_whole for column in columns], width)
    bold = [(title, "bold" if colour else None) for title in titles]
    yield _line(columns, bold, widths, cut=width is not None)
    for row in chain(first, cells):
        painted = [
            (cell, column.colour_of(cell) if colour else None) for column, cell in zip(columns, row, strict=True)
        ]
        yield _line(columns, painted, widths, cut=width is not None)


def display_width(text: str) -> int:
    """Return the number of terminal columns of a printable text."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def truncate_to_width(text: str, width: int) -> str:
    """Cut a printable text to `width` columns, with `…` at its end."""
    if display_width(text) <= width:
        return text
    remaining, characters = width - 1, []
    for character in text:
        remaining -= _width(character)
        if remaining < 0:
            break
        characters.append(character)
    return "".join(characters) + _CUT if width > 0 else ""


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitted(natural: Sequence[int], whole: Sequence[bool], width: int) -> list[int]:
    """Narrow the widest columns until all fit; `keep_whole` columns only as a last resort."""
    allowed = width - len(_GAP) * (len(natural) - 1)
    widths = list(natural)
    for minimum, takes_whole in ((NARROW, False), (1, False), (1, True)):
        shrinkable = [
            index for index in range(len(widths)) if widths[index] > minimum and (takes_whole or not whole[index])
        ]
        _narrow(widths, shrinkable, minimum, sum(widths) - allowed)
    return widths


def _narrow(widths: list[int], shrinkable: Iterable[int], minimum: int, excess: int) -> None:
    """Remove `excess` columns, always from the widest that may shrink."""
    shrinkable = list(shrinkable)
    while excess > 0 and shrinkable:
        widest = max(shrinkable, key=lambda index: widths[index])
        if widths[widest] <= minimum:
            return
        widths[widest] -= 1
        excess -= 1


def _line(columns: Sequence[Column], cells: Sequence[tuple[str, str | None]], widths: Sequence[int], cut: bool) -> str:
    parts = []
    for column, (text, colour), width in zip(columns, cells, widths, strict=True):
        shown = truncate_to_width(text, width) if cut else text
        padding = " " * (width - display_width(shown))
        painted = colourize(shown, colour)
        parts.append(padding + painted if column.right else painted + padding)
    return _GAP.join(parts).rstrip()
