"""The error for a refused schedule: what is wrong, where in the text, and what to write instead."""

from __future__ import annotations


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
