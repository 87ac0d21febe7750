"""Wrap lines at words for a terminal; a pipe gets them whole."""

from __future__ import annotations

from collections.abc import Iterator

from jobscheduler.cli.table import display_width

_MIN_TEXT = 40  # columns that a wrapped text gets, however deep it is indented


def wrap(text: str, width: int | None, *, indent: str = "", hanging: int = 2) -> Iterator[str]:
    """Yield the lines of a text that begins after `indent`, its further lines below it and `hanging` columns deeper.

    A word that is longer than a line stays whole. Without a width there is one line.
    """
    if width is None or display_width(indent + text) <= width:
        yield indent + text
        return
    margin = " " * min(display_width(indent) + hanging, max(0, width - _MIN_TEXT))
    line, is_empty = indent, True
    for word in text.split(" "):
        candidate = line + word if is_empty else f"{line} {word}"
        if not is_empty and display_width(candidate) > width:
            yield line.rstrip()
            candidate = margin + word
        line, is_empty = candidate, False
    yield line.rstrip()
