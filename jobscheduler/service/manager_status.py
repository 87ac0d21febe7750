"""Tell the service manager how the service is: readiness, watchdog pings and the status line."""

from __future__ import annotations

import time
from datetime import UTC

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.health import HealthMonitor
from jobscheduler.service.sd_notify import Notifier
from jobscheduler.util.instants import format_local


class ManagerStatus:
    """Sends the states of the service to systemd."""

    def __init__(
        self, notifier: Notifier, scheduler: Scheduler, reconciler: Reconciler, health: HealthMonitor, log: LogWriter
    ) -> None:
        self._notifier = notifier
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._health = health
        self._log = log
        self._is_overdue = False

    def ready(self) -> None:
        """Send that the service can be used."""
        self._notifier.notify("READY=1", f"STATUS={self._summary()}")

    def reloading(self) -> None:
        """Send that a reload begins; `ready` ends it."""
        self._notifier.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, cause: str) -> None:
        """Send and log that the service ends in order."""
        self._notifier.notify("STOPPING=1")
        self._log.event(Level.INFO, "service.stopping", cause=cause)

    def failing(self, fault: str) -> None:
        """Send and log that the service ends because a part of it died or is stuck."""
        self._notifier.notify("STOPPING=1", f"STATUS={fault}")
        self._log.event(Level.ERROR, "service.stopping", cause=fault)

    def keep_alive(self) -> None:
        """Ping the watchdog, whatever the health of the parts."""
        self._notifier.notify("WATCHDOG=1")

    def ping(self) -> None:
        """Send the status line, and ping the watchdog if every part is on time; log a part that is late, once."""
        late = self._health.overdue()
        if late and not self._is_overdue:
            self._log.event(Level.WARNING, "service.late", part=late)
        self._is_overdue = bool(late)
        status = f"STATUS={self._summary()}{f'; {late} is late' if late else ''}"
        self._notifier.notify(*([status] if late else ["WATCHDOG=1", status]))

    def _summary(self) -> str:
        jobs, refused, _ = self._reconciler.counts()
        upcoming = self._scheduler.earliest()
        next_slot = f", next {format_local(upcoming, UTC)}Z" if upcoming else ""
        count = self._scheduler.runs.lost_threads()
        lost = f", {count} threads lost" if count else ""
        return f"{jobs} jobs, {self._scheduler.runs.count()} running, {refused} files refused{lost}{next_slot}"
