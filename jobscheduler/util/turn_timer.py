"""Measure how long a loop has been at one turn."""

from __future__ import annotations

import time


class TurnTimer:
    """Measures how long a loop has been at one turn; the wait between two turns does not count. For any thread."""

    def __init__(self) -> None:
        self._began_at = 0.0

    def begin(self) -> None:
        """Note that a turn begins, or makes progress."""
        self._began_at = time.monotonic()

    def end(self) -> None:
        """Note that the loop waits for its next turn."""
        self._began_at = 0.0

    def busy_for(self) -> float:
        """Return the seconds since the turn began; 0 between two turns."""
        began_at = self._began_at
        return time.monotonic() - began_at if began_at else 0.0
