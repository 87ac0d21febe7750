"""Tables for a terminal: columns that fit its width, colour where it is wanted, and cells that cannot disturb it."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TextIO

Row = Sequence[str]

MEASURED = 1000
"""So many rows decide how wide the columns are; a table may go on for millions."""

NARROW = 8
"""A column is cut to no fewer characters than this, if that is enough to make the table fit."""

_GAP = "  "
_CUT = "…"
_CODES = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `whole` is cut last, for what is of no use when it is cut, such as a time.

    `paint` gives the colour of a cell (`red`, `green`, `yellow`, `bold`, `dim`) by its text, or nothing.
    """

    title: str
    right: bool = False
    keep_whole: bool = False
    colour_of: Callable[[str], str | None] = lambda text: None


def use_colour(to: TextIO) -> bool:
    """Return whether to write there in colour: on a terminal that can, unless `NO_COLOR` is set."""
    return to.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Return how many columns the terminal on standard output shows, None if that is none: nothing is cut in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def printable(text: str) -> str:
    """Return a text that cannot disturb a terminal, whatever a file is called or a job prints."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines that cannot disturb a terminal: line ends and tabs are all that stays."""
    return "".join(one if one in "\n\t" else printable(one) for one in text)


def colourize(text: str, colour: str | None) -> str:
    """Return the text with the codes of a colour round it; as it is without one."""
    return f"{_CODES[colour]}{text}{_PLAIN}" if colour else text


def table(columns: Sequence[Column], rows: Iterable[Row], *, width: int | None, colour: bool = False) -> Iterator[str]:
    """Yield the lines of a table, its titles first. Rows are taken as the lines are, so there may be any number.

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
    """Return how many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def truncate(text: str, width: int) -> str:
    """Cut a printable text to so many columns, with `…` at the end of what is left."""
    if display_width(text) <= width:
        return text
    left, kept = width - 1, []
    for one in text:
        left -= _width(one)
        if left < 0:
            break
        kept.append(one)
    return "".join(kept) + _CUT if width > 0 else ""


def _width(one: str) -> int:
    if unicodedata.combining(one) or unicodedata.category(one) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def _fitted(natural: Sequence[int], whole: Sequence[bool], width: int) -> list[int]:
    """Narrow the widest columns until all fit; those that are to stay whole only if nothing else helps."""
    allowed = width - len(_GAP) * (len(natural) - 1)
    widths = list(natural)
    for least, takes_whole in ((NARROW, False), (1, False), (1, True)):
        may = [at for at in range(len(widths)) if widths[at] > least and (takes_whole or not whole[at])]
        _narrow(widths, may, least, sum(widths) - allowed)
    return widths


def _narrow(widths: list[int], may: Iterable[int], least: int, excess: int) -> None:
    """Take `excess` columns away, always from the widest of those that may give."""
    may = list(may)
    while excess > 0 and may:
        widest = max(may, key=lambda at: widths[at])
        if widths[widest] <= least:
            return
        widths[widest] -= 1
        excess -= 1


def _line(columns: Sequence[Column], cells: Sequence[tuple[str, str | None]], widths: Sequence[int], cut: bool) -> str:
    parts = []
    for column, (text, colour), width in zip(columns, cells, widths, strict=True):
        shown = truncate(text, width) if cut else text
        padding = " " * (width - display_width(shown))
        painted = colourize(shown, colour)
        parts.append(padding + painted if column.right else painted + padding)
    return _GAP.join(parts).rstrip()
