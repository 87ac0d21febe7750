"""Time how long the database does not answer."""

from __future__ import annotations

import time

MIN_SILENCE_S = 3.0  # seconds without an answer until `status` reports that the database does not answer


class AnswerTimer:
    """Times the questions to the database, of which one thread asks one after another. `problem` is for any thread."""

    def __init__(self) -> None:
        self._asked_at: float | None = None

    def begin(self) -> None:
        """Note that a question is asked."""
        self._asked_at = time.monotonic()

    def end(self) -> None:
        """Note that the answer has come, or that it is no longer waited for."""
        self._asked_at = None

    def problem(self) -> str | None:
        """Return for how long the last question has had no answer, None below `MIN_SILENCE_S`."""
        asked_at = self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        if waited < MIN_SILENCE_S:
            return None
        return f"the database has not answered for {waited:.0f} s; jobs go on as they were last read"
