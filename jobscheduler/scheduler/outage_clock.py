"""Tells how long the service was away: by the clock, and by the uptime of the host, which is never set."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobscheduler.model import RecoveredState
from jobscheduler.util.host_id import is_same_boot

MIN_CLOCK_STEP_S = 1.0  # the clock was set during the outage if it gained more than this on the uptime
UNSYNCED_WINDOW = timedelta(seconds=2)  # lines this long after the last one may be lost in a crash of the host


class OutageClock:
    """The time between the last line of the former service and this start. Nothing here changes.

    `uptime` is that of the host at this start. `is_same_boot`: the host was not booted since.
    """

    def __init__(
        self, state: RecoveredState, boot: str, started: datetime, uptime: float, *, mentions_boot: bool = False
    ) -> None:
        """The arguments are as in `FormerService`."""
        self.uptime = uptime
        self.is_same_boot = mentions_boot or (
            is_same_boot(state.checkpoint.boot, boot) and (state.checkpoint.uptime or 0.0) <= uptime + MIN_CLOCK_STEP_S
        )
        self._state = state
        self._started = started

    def elapsed(self) -> float:
        """Return the seconds of the outage by the clock that is never set; 0 if the host was booted since."""
        before = self._state.checkpoint.uptime
        return self.uptime - before if self.is_same_boot and before is not None else 0.0

    def up_at(self, at: datetime) -> float:
        """Return the uptime of the former service at a line of its log that is later than its last checkpoint."""
        written_at = self._state.checkpoint_written_at or at
        return (self._state.checkpoint.uptime or 0.0) + max(0.0, (at - written_at).total_seconds())

    def moved_by(self) -> float:
        """Return how much this uptime is ahead of the former one, as if that had gone on; 0 in the same boot.

        After another boot only the clock tells how long the outage was.
        """
        if self.is_same_boot:
            return 0.0
        last = self._state.last_line_at
        return self.uptime - self.up_at(last) - max(0.0, (self._started - last).total_seconds())

    def late_reason(self) -> str:
        """Return why slots are late: `down`, or `clock` if the clock was set ahead during the outage."""
        written_at, elapsed = self._state.checkpoint_written_at, self.elapsed()
        if written_at is None or not self.is_same_boot or self._state.checkpoint.uptime is None:
            return "down"
        set_by = (self._started - written_at).total_seconds() - elapsed
        return "clock" if set_by > MIN_CLOCK_STEP_S and set_by > elapsed else "down"

    def unknown_until(self) -> datetime | None:
        """Return the time up to which log lines may be lost; None unless the host went down without a stop."""
        is_unclean = not self.is_same_boot and not self._state.clean_stop
        return self._state.last_line_at + UNSYNCED_WINDOW if is_unclean else None
