"""Something that is done at regular intervals. Time is an argument, in monotonic seconds."""

from __future__ import annotations

from collections.abc import Callable


class Periodic:
    """An action with its interval, and the time at which it is due next."""

    def __init__(self, interval: float, action: Callable[[float], object]) -> None:
        """`action` gets the present time."""
        self._interval = interval
        self._action = action
        self.next_at = 0.0

    def due(self, now: float) -> bool:
        """Return whether the action is due at `now`."""
        return now >= self.next_at

    def restart(self, now: float) -> None:
        """Begin a new interval."""
        self.next_at = now + self._interval

    def expire(self) -> None:
        """Make the action due at once."""
        self.next_at = 0.0

    def run(self, now: float) -> None:
        """Begin a new interval, then perform the action."""
        self.restart(now)
        self._action(now)
