"""Compare the clock of the database's server with this host's: a difference is logged once, and does no harm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobscheduler.model import EventLogger, Level
from jobscheduler.util.instants import utc_now

TOLERANCE = timedelta(seconds=5)  # the difference up to which times of the server are used unchanged


class ClockSkew:
    """Compare the two clocks at each reload.

    Thread: one; `problem` for any.
    """

    def __init__(self, log_event: EventLogger, now: Callable[[], datetime] = utc_now) -> None:
        self._log_event = log_event
        self._now = now
        self.ahead = timedelta(0)
        self._is_reported = False

    def compare(self, ask: Callable[[], datetime | None]) -> None:
        """Ask the server for its time; an SQLite file has none of its own."""
        before = self._now()
        server_time = ask()
        if server_time is not None:
            self._note(server_time - (before + (self._now() - before) / 2))

    def _note(self, ahead: timedelta) -> None:
        is_apart = abs(ahead) > TOLERANCE
        self.ahead = ahead if is_apart else timedelta(0)
        if is_apart and not self._is_reported:
            help_ = "set the clock that is wrong: times that programs write into the database cannot be relied on"
            self._log_event(Level.WARNING, "database.clock", problem=self.problem(), help=help_)
        elif self._is_reported and not is_apart:
            self._log_event(Level.INFO, "database.clock_agrees")
        self._is_reported = is_apart

    def problem(self) -> str | None:
        """Return how far the clocks differ, None if they agree."""
        if not self.ahead:
            return None
        seconds = round(self.ahead.total_seconds())
        direction = "ahead of" if seconds > 0 else "behind"
        return f"the clock of the database's server is {abs(seconds)} s {direction} this host's"
