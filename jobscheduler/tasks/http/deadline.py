"""The deadline of an exchange."""

from __future__ import annotations

import time


class Deadline:
    """The deadline of an exchange: an instant of `time.monotonic()`."""

    def __init__(self, until: float) -> None:
        self.until = until

    def left(self) -> float:
        """Return the seconds left. Raises: `TimeoutError` if none are left."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time is up")
        return seconds

    def expired(self) -> bool:
        """Return whether the deadline has passed. Allows for a socket timeout that fires slightly early."""
        return time.monotonic() >= self.until - 0.01
