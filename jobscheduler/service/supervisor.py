"""The supervising loop of the main thread: signals, the clock, health, checkpoints, and periodic work.

The loop never waits for a call that may hang. Whatever reads files is work for the file thread. Whatever becomes of
that thread, the loop handles signals, tells systemd how the service is, and can end the service.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service import sd_notify
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.directory_guard import DirectoryGuard, format_error
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.health import HealthMonitor, TurnTimer
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.periodic import Periodic
from jobscheduler.service.reload import Reload
from jobscheduler.service.shutdown import Shutdown

CHECK_INTERVAL_S = 1.0  # between two checks of the jobs directory, the clock and the worker pool
HEALTH_INTERVAL_S = 5.0  # between two close checks of the threads, the watcher, the socket and the host's zone
PING_INTERVAL_S = 5.0  # between two status lines to systemd; less if the unit's `WatchdogSec=` asks for it
COALESCE_S = 0.25  # work due this soon is done at the same wake-up, because a wake-up costs more than the work


class PartDied(Exception):
    """A part of the service died or is stuck, so that only a new process helps."""


class Supervisor:
    """Runs the loop until a signal ends the service or a part of it dies."""

    def __init__(
        self,
        mailbox: Mailbox,
        log: LogWriter,
        clock: ClockMonitor,
        scheduler: Scheduler,
        reconciler: Reconciler,
        directory: DirectoryGuard,
        files: FileThread,
        health: HealthMonitor,
        turns: TurnTimer,
        manager: ManagerStatus,
        checkpoints: CheckpointTimer,
        alert_defaults: AlertDefaultsReader,
        reload: Reload,
        shutdown: Shutdown,
        *,
        maintenance: Mapping[str, Callable[[float], object]],
        rescan_interval: float,
    ) -> None:
        """`maintenance` is work for the file thread at each health check, by name; it gets monotonic seconds."""
        self._mailbox = mailbox
        self._log = log
        self._clock = clock
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._directory = directory
        self._files = files
        self._health = health
        self._turns = turns
        self._manager = manager
        self._checkpoints = checkpoints
        self._alert_defaults = alert_defaults
        self._reload = reload
        self._shutdown = shutdown
        self._maintenance = maintenance
        ping_interval = min(PING_INTERVAL_S, sd_notify.watchdog_interval() or PING_INTERVAL_S)
        self._check = Periodic(CHECK_INTERVAL_S, self._check_files_and_clock)
        self._periodics = (
            Periodic(HEALTH_INTERVAL_S, self._check_health),
            self._check,
            Periodic(ping_interval, lambda _: self._manager.ping()),
            Periodic(rescan_interval, lambda _: self._files.submit("rescan", self._rescan)),
        )

    def run(self) -> str | None:
        """Supervise until a signal ends the service; return None then, or which part of it died."""
        for periodic in self._periodics:
            periodic.restart(time.monotonic())
        try:
            self._supervise()
        except PartDied as died:
            fault = str(died)
        except Exception as error:
            traceback.print_exc()
            fault = f"the supervising loop failed: {format_error(error)}"
        else:
            return None
        self._manager.failing(fault)
        return fault

    def _supervise(self) -> None:
        while True:
            self._turns.end()
            message = self._next_message()
            self._turns.begin()
            if message is not None and message.ends_service:
                self._shutdown.run(message)
                return
            self._handle(message)
            self._step(time.monotonic())

    def _next_message(self) -> Message | None:
        """Wait for a message, or until the next work is due."""
        due_at = min(periodic.next_at for periodic in self._periodics)
        settle_at = self._reconciler.next_settle_at()
        if settle_at is not None and not self._files.is_waiting("settle"):
            due_at = min(due_at, settle_at)
        return self._mailbox.take(max(0.0, due_at - time.monotonic()))

    def _handle(self, message: Message | None) -> None:
        match message:
            case Message.RELOAD:
                self._files.submit("reload", self._reload.run)
            case Message.HUNG_CALL_ENDED:
                self._files.submit("reread", self._reread_hung)
            case Message.CHECK_DIRECTORY:
                self._check.expire()
                self._directory.invalidate()
            case Message.LOG_FILE_BEGUN:
                self._checkpoints.write(time.monotonic(), full=True)

    def _step(self, now: float) -> None:
        """Do the work that is due at `now` (monotonic seconds).

        Raises:
            PartDied: a part died or is stuck.
            Exception: a piece of work on the file thread has raised it.

        """
        if self._files.fault is not None:
            raise self._files.fault
        settle_at = self._reconciler.next_settle_at()
        if settle_at is not None and settle_at <= now:
            self._submit_sync("settle", partial(self._reconciler.sync_items, ()))
        for periodic in self._periodics:
            if periodic.due(now + COALESCE_S):
                periodic.run(now)
        self._checkpoints.write_if_due(now)

    def _check_health(self, now: float) -> None:
        fault = self._health.fatal()
        if fault:
            raise PartDied(fault)
        self._directory.invalidate()
        self._health.probe()
        for name, work in self._maintenance.items():
            self._files.submit(name, partial(work, now))

    def _check_files_and_clock(self, now: float) -> None:
        self._files.submit("check directory", self._directory.check)
        self._log.check_file(now)
        self._check_clock()
        self._scheduler.check_backlog(now)

    def _check_clock(self) -> None:
        """After a clock jump or a sleep of the host, log it, decide slots at once, and write a checkpoint."""
        jump = self._clock.check()
        if jump is not None:
            self._log.event(Level.WARNING, "clock.stepped", set_by=jump.set_by or None, slept=jump.slept or None)
        if self._scheduler.check_clock():  # this sees also a clock that is set back by little, again and again
            self._submit_sync("reconsider", self._reconciler.reconsider)
        if jump is not None:
            self._scheduler.wakeup()
            self._checkpoints.write(time.monotonic())

    # -- work for the file thread

    def _submit_sync(self, name: str, sync: Callable[[], None]) -> None:
        self._files.submit(name, partial(self._directory.run_sync, sync))

    def _rescan(self) -> None:
        self._directory.run_sync(self._reconciler.sync_all)

    def _reread_hung(self) -> None:
        """Read again what did not answer before. No event of a file says that it answers again."""
        self._alert_defaults.reload_if_unread()
        self._rescan()
