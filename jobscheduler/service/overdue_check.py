"""Say which jobs have become overdue, and have those alerts repeated whose reminder is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.alerts import AlertObserver
from jobscheduler.model import EventLogger, Level
from jobscheduler.status.standings import Standings
from jobscheduler.util.instants import utc_now


class OverdueCheck:
    """Logs `job.overdue`, which the alerts observe. Thread: the main thread; it waits for nothing."""

    def __init__(
        self,
        standings: Standings,
        is_held: Callable[[str], bool],
        alerts: AlertObserver,
        log_event: EventLogger,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`is_held` returns whether the time of a job does not count at present."""
        self._standings = standings
        self._is_held = is_held
        self._alerts = alerts
        self._log_event = log_event
        self._now = now

    def run(self, now: float) -> None:
        """Check once; `now` is in monotonic seconds."""
        for job in self._standings.check(self._now(), self._is_held):
            self._log_event(
                Level.WARNING,
                "job.overdue",
                job_id=job.job_id,
                since=job.since,
                success_within=job.within,
                last_success=job.success,
            )
        self._alerts.check_reminders(now)
