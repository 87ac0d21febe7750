"""The suggestion for a refused line, or the reason why there is none."""

from __future__ import annotations

from typing import NamedTuple


class Suggestion(NamedTuple):
    """A valid line with the slots that were meant, or None; a longer help text; notes."""

    text: str | None = None
    help: str | None = None
    notes: tuple[str, ...] = ()


class NoSuggestion(Exception):
    """The meaning of a line is not clear, or crontab cannot express it.

    There is no fallback, because a schedule that is wider than intended does harm. `help` may offer several lines, each
    with the case for which it is right. `notes` give the reason.
    """

    def __init__(self, help: str | None = None, notes: tuple[str, ...] = ()) -> None:  # noqa: A002 - as in Problem
        super().__init__(help or "")
        self.help = help
        self.notes = notes
