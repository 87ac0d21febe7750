"""The checks that the supervising loop makes at regular intervals. Time is an argument, in monotonic seconds.

Thread: the main thread. None of them waits for a call that may hang.
"""

from __future__ import annotations

from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.health import HealthMonitor
from jobscheduler.service.overdue_check import OverdueCheck
from jobscheduler.service.sync_requests import SyncRequests
from jobscheduler.tasks.command.run_groups import RUN_GROUPS


class PartDied(Exception):
    """A part of the service died or is stuck, so that only a new process helps."""


class HostCheck:
    """Checks the jobs directory, the log, the clock, the backlog of runs, their control groups, and overdue jobs."""

    def __init__(
        self,
        log: LogWriter,
        clock: ClockMonitor,
        scheduler: Scheduler,
        checkpoints: CheckpointTimer,
        requests: SyncRequests,
        overdue: OverdueCheck,
    ) -> None:
        self._overdue = overdue
        self._was_failing = False
        self._log = log
        self._clock = clock
        self._scheduler = scheduler
        self._checkpoints = checkpoints
        self._requests = requests

    def run(self, now: float) -> None:
        """Check each of them once."""
        self._requests.check_directory()
        self._log.check_file(now)
        self._check_clock(now)
        self._scheduler.runs.check(now)
        RUN_GROUPS.sweep(now)
        self._overdue.run(now)
        self._check_log(now)

    def _check_log(self, now: float) -> None:
        """Write a full checkpoint when the log can be written again: it may have lost what the last ones changed."""
        is_failing = self._log.is_failing() or self._log.is_silent()
        if self._was_failing and not is_failing:
            self._checkpoints.write(now, full=True)
        self._was_failing = is_failing

    def _check_clock(self, now: float) -> None:
        """After a clock jump or a sleep of the host, log it, decide slots at once, and write a checkpoint."""
        jump = self._clock.check()
        if jump is not None:
            self._log.event(Level.WARNING, "clock.stepped", set_by=jump.set_by or None, slept=jump.slept or None)
        if self._scheduler.check_clock():  # this sees also a clock that is set back by little, again and again
            self._requests.reconsider()
        if jump is not None:
            self._scheduler.wakeup()
            self._checkpoints.write(now)


class HealthCheck:
    """Checks the threads of the service, and has its sockets, its zone and its directory checked closely."""

    def __init__(self, health: HealthMonitor, requests: SyncRequests) -> None:
        self._health = health
        self._requests = requests

    def run(self, now: float) -> None:
        """Check each of them once.

        Raises:
            PartDied: a part died or is stuck.

        """
        fault = self._health.fatal()
        if fault:
            raise PartDied(fault)
        self._requests.invalidate_directory()
        self._health.probe()
        self._requests.maintain(now)
