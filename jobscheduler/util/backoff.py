"""The pause after failures: it doubles with each, up to a limit."""

from __future__ import annotations

_MAX_COUNTED = 30  # more failures than this make no pause longer


class Backoff:
    """Counts failures in a row. `first` is the pause without any, `limit` the longest; both are in seconds."""

    def __init__(self, first: float, limit: float) -> None:
        self._first = first
        self._limit = limit
        self.failures = 0

    def fail(self) -> None:
        """Count a failure."""
        self.failures = min(self.failures + 1, _MAX_COUNTED)

    def reset(self) -> None:
        """Forget the failures: a try has succeeded."""
        self.failures = 0

    def pause(self) -> float:
        """Return the seconds until the next try. They are never less than `first`, even if that is over the limit."""
        return max(self._first, min(self._first * 2.0**self.failures, self._limit))
