"""Wrap lines at words for a terminal; a pipe gets them whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

from jobscheduler.cli.table import columns_of, display_width

_MIN_TEXT = 40  # columns that a wrapped text gets, however deep it is indented


def print_wrapped(text: str, to: TextIO | None = None, *, indent: str = "", hanging: int = 2) -> None:
    """Print a text, by default to standard output: wrapped on a terminal, whole in a pipe."""
    to = sys.stdout if to is None else to
    for line in wrap(text, width_of(to), indent=indent, hanging=hanging):
        print(line, file=to)


def width_of(to: TextIO) -> int | None:
    """Return the columns of a terminal, None for a pipe or a file."""
    return columns_of(to) if to.isatty() else None


def wrap(text: str, width: int | None, *, indent: str = "", hanging: int = 2) -> Iterator[str]:
    """Yield the lines of a text that begins after `indent`, its further lines below it and `hanging` columns deeper.

    A word that is longer than a line stays whole, but for one of wide characters: such text has no spaces. Without a
    width there is one line.
    """
    if width is None or display_width(indent + text) <= width:
        yield indent + text
        return
    margin = " " * min(display_width(indent) + hanging, max(0, width - _MIN_TEXT))
    line, is_empty = indent, True
    for separator, word in _parts(text, width - len(margin)):
        candidate = line + word if is_empty else line + separator + word
        if not is_empty and display_width(candidate) > width:
            yield line.rstrip()
            candidate = margin + word
        line, is_empty = candidate, False
    yield line.rstrip()


def _parts(text: str, room: int) -> Iterator[tuple[str, str]]:
    """Yield the words, and the parts of those that do not fit and may be broken, each with what stands before it."""
    for word in text.split(" "):
        parts = [word] if display_width(word) <= room else _breakable(word)
        yield from zip((" ", *[""] * (len(parts) - 1)), parts, strict=True)


def _breakable(word: str) -> list[str]:
    """Return the parts of a word between which a line may end: before and after each wide character."""
    parts: list[str] = []
    for character in word:
        width = display_width(character)
        is_apart = not parts or width == 2 or (width == 1 and display_width(parts[-1][0]) == 2)
        if is_apart:
            parts.append(character)
        else:
            parts[-1] += character
    return parts
