"""Lay out tables for a terminal: columns that fit its width, colour, and escaped cells."""

from __future__ import annotations

import os
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
MIN_FILLING = 12  # columns below which what fills the rest of a line is left out

_DEFAULT_COLUMNS = 80
_GAP = "  "
_CUT = "…"
_CODES = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "bold": "\x1b[1m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. With `keep_whole` it is cut last, for values that are useless when cut, such as a time.

    `drop` ranks the columns that a narrow terminal does not get, the lowest first; 0 is never dropped.
    `fills` takes what the others leave, and is dropped, not cut, below `MIN_FILLING`.
    A cell wider than `own_line` columns stands on a line of its own, and is never cut; 0 means no such limit.
    `colour_of` returns the colour of a cell (`red`, `green`, `yellow`, `bold`, `dim`) from its text, or None.
    """

    title: str
    right: bool = False
    keep_whole: bool = False
    drop: int = 0
    fills: bool = False
    own_line: int = 0
    colour_of: Callable[[str], str | None] = lambda text: None


def use_colour(to: TextIO) -> bool:
    """Return whether to write in colour: on a capable terminal, unless `NO_COLOR` is set; always with `FORCE_COLOR`.

    `FORCE_COLOR=0` forces nothing. `NO_COLOR` wins over it.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return to.isatty() and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output; None without one, because a pipe gets whole cells."""
    return columns_of(sys.stdout) if sys.stdout.isatty() else None


def columns_of(to: TextIO) -> int:
    """Return the columns of a terminal: those that `COLUMNS` says, else its own, else 80."""
    named = os.environ.get("COLUMNS", "")
    if named.isascii() and named.isdigit() and int(named[:9]) > 0:
        return int(named[:9])
    try:
        return os.get_terminal_size(to.fileno()).columns or _DEFAULT_COLUMNS
    except (OSError, ValueError):
        return _DEFAULT_COLUMNS


def colourize(text: str, colour: str | None) -> str:
    """Return the text in a colour; unchanged without one."""
    return f"{_CODES[colour]}{text}{_PLAIN}" if colour and text else text


def table(
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    width: int | None,
    colour: bool = False,
    measured: int = MEASURED,
) -> Iterator[str]:
    """Yield the lines of a table, its titles first. Rows are read lazily, so there may be any number.

    With a `width` columns are dropped and long cells cut until lines fit. Without one, later rows may be wider than the
    `measured` first ones were, which are read before the first line.
    """
    cells = ([printable(cell) for cell in row] for row in rows)
    first = list(islice(cells, measured))
    layout = _Layout(columns, first, width)
    yield layout.line([(column.title, "bold" if colour else None) for column in columns])
    for row in chain(first, cells):
        yield from layout.lines(row, colour=colour)


class _Layout:
    """The columns that fit, and their widths."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row], width: int | None) -> None:
        self._columns, self._width = columns, width
        cells_of = zip(*([column.title for column in columns], *rows), strict=True)
        natural = [_natural(column, cells, width) for column, cells in zip(columns, cells_of, strict=True)]
        self._kept = list(range(len(columns))) if width is None else _kept(columns, natural, width)
        kept = [natural[index] for index in self._kept]
        self._widths = kept if width is None else _fitted(kept, [columns[index] for index in self._kept], width)

    def lines(self, row: Row, *, colour: bool) -> Iterator[str]:
        """Yield the lines of a row: one, or two if a cell needs a line of its own."""
        cells = [
            (cell, column.colour_of(cell) if colour else None) for column, cell in zip(self._columns, row, strict=True)
        ]
        for index, limit in enumerate(self._widths):
            column = self._columns[self._kept[index]]
            text, painted = cells[self._kept[index]]
            if self._width is not None and column.own_line and display_width(text) > limit:
                yield colourize(text, painted)
                cells[self._kept[index]] = ("", None)
        yield self.line(cells)

    def line(self, cells: Sequence[tuple[str, str | None]]) -> str:
        """Return a line of cells with their colours."""
        kept = [(self._columns[index], cells[index]) for index in self._kept]
        parts = []
        for (column, (text, colour)), width in zip(kept, self._widths, strict=True):
            shown = text if self._width is None else truncate_to_width(text, width)
            padding = " " * (width - display_width(shown))
            painted = colourize(shown, colour)
            parts.append(padding + painted if column.right else painted + padding)
        return _GAP.join(parts).rstrip()


def _natural(column: Column, cells: Iterable[str], width: int | None) -> int:
    widths = [display_width(cell) for cell in cells]
    if width is None or not column.own_line:
        return max(widths)
    return max((size for size in widths if size <= column.own_line), default=column.own_line)


def _kept(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the indexes of the columns that a terminal gets: columns are dropped until the others fit whole."""
    kept = list(range(len(columns)))

    def needed(index: int) -> int:
        return min(natural[index], MIN_FILLING) if columns[index].fills else natural[index]

    for index in sorted((i for i in kept if columns[i].drop), key=lambda i: columns[i].drop):
        if sum(map(needed, kept)) + len(_GAP) * (len(kept) - 1) <= width:
            break
        kept.remove(index)
    return kept


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


def _fitted(natural: Sequence[int], columns: Sequence[Column], width: int) -> list[int]:
    """Narrow the columns until all fit: what fills the rest, then the widest; `keep_whole` ones as a last resort."""
    allowed = width - len(_GAP) * (len(natural) - 1)
    widths = list(natural)
    filling = [index for index, column in enumerate(columns) if column.fills]
    _narrow(widths, filling, 1, sum(widths) - allowed)
    for minimum, takes_whole in ((NARROW, False), (1, False), (1, True)):
        shrinkable = [
            index
            for index, column in enumerate(columns)
            if widths[index] > minimum and not column.own_line and (takes_whole or not column.keep_whole)
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
