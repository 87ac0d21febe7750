"""The error for a refused schedule: what is wrong, where in the text, and what to write instead."""

from __future__ import annotations

_MAX_QUOTED_CHARS = 60


class ScheduleError(ValueError):
    """A schedule that is not accepted.

    `message` says what is wrong. `start` and `end` bound the characters of the text at fault. `suggestion` is a valid
    schedule that was most likely meant, or None. `help` tells the user to write it, and `notes` give the background.
    """

    def __init__(
        self,
        message: str,
        *,
        start: int = 0,
        end: int = 0,
        instead: str | None = None,
        help: str | None = None,  # noqa: A002 - as in Problem
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.suggestion = instead
        self.help = help or (f"write `{instead}`" if instead is not None else "")
        self.notes = notes


def quote(text: str) -> str:
    """Return a user's text in backticks, shortened, with unprintable characters escaped."""
    short = text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 3] + "..."
    return "`" + "".join(c if c.isprintable() and c != "`" else ascii(c)[1:-1] for c in short) + "`"
