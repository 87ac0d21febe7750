"""What is suggested instead of a line that is refused; or why nothing is."""

from __future__ import annotations

from typing import NamedTuple


class Suggestion(NamedTuple):
    """A line that is accepted and has the slots that were meant, None if there is none; a help in more words; notes."""

    text: str | None = None
    help: str | None = None
    notes: tuple[str, ...] = ()


class NoSuggestion(Exception):
    """What was meant cannot be told, or crontab cannot say it.

    Nothing is put in its place: a schedule that is wider than what was meant does harm. `help` may name several lines
    and the case for which each is right; `notes` give the reason.
    """

    def __init__(self, help: str | None = None, notes: tuple[str, ...] = ()) -> None:  # noqa: A002 - as in Problem
        super().__init__(help or "")
        self.help = help
        self.notes = notes
