"""Keeps how far the clock has come: when it is set back, slots that are decided lie ahead of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobscheduler.model import EPOCH, Event, Level

MAX_CLOCK_SET_BACK = timedelta(hours=3)  # a longer step back is reported: jobs wait until the clock has caught up
MIN_CLOCK_STEP = timedelta(seconds=1)  # a shorter step back is ignored: the clock soon passes what was decided


class ClockProgress:
    """The latest time that counts, and how far the clock had come before it was set back.

    - `settled_floor`: up to there slots are decided, while the clock only moves forward. It restarts when the clock is
      set back.
    - `ahead`: how far the clock had come before it was set back; None unless it is behind that.
    Lock: the caller's.
    """

    def __init__(self, write: Callable[[Event], object]) -> None:
        self.settled_floor = EPOCH
        self.ahead: datetime | None = None
        self._write = write

    def restore(self, now: datetime, ahead: datetime) -> None:
        """Take over how far the clock had come before this start, which is at `now`."""
        self.settled_floor, self.ahead = now, None
        if ahead > now:
            self.ahead = ahead
            self._log_set_back(now)

    def note(self, now: datetime) -> bool:
        """Note the time; return whether the clock was set back since the latest time so far."""
        behind = self.settled_floor - now
        self.settled_floor = max(self.settled_floor, now)
        if self.ahead is not None and now >= self.ahead:
            self.ahead = None
        if behind < MIN_CLOCK_STEP:
            return False
        self.ahead = max(self.settled_floor, self.ahead or self.settled_floor)
        self.settled_floor = now
        self._log_set_back(now)
        return True

    def is_behind(self, now: datetime) -> bool:
        """Return whether the clock is behind what it has been."""
        return self.ahead is not None and self.ahead > now

    def _log_set_back(self, now: datetime) -> None:
        """Log a step back that makes jobs wait for long."""
        behind = (self.ahead or now) - now
        if behind > MAX_CLOCK_SET_BACK:
            values = (("until", now + behind), ("set_by", -behind.total_seconds()))
            self._write(Event(now, Level.WARNING, "clock.accepted", values))
