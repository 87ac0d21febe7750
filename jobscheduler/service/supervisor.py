"""The supervising loop of the main thread: signals, checks, checkpoints, and periodic work.

The loop never waits for a call that may hang. Whatever reads files is work for the file thread. Whatever becomes of
that thread, the loop handles signals, tells systemd how the service is, and can end the service.
"""

from __future__ import annotations

import time
import traceback

from jobscheduler.service import sd_notify
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.checks import HealthCheck, HostCheck, PartDied
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.periodic import Periodic
from jobscheduler.service.shutdown import Shutdown
from jobscheduler.service.sync_requests import SyncRequests
from jobscheduler.util.text import format_error
from jobscheduler.util.turn_timer import TurnTimer

CHECK_INTERVAL_S = 1.0  # between two checks of the jobs directory, the clock and the worker pool
HEALTH_INTERVAL_S = 5.0  # between two close checks of the threads, the watcher, the socket and the host's zone
PING_INTERVAL_S = 5.0  # between two status lines to systemd; less if the unit's `WatchdogSec=` asks for it
COALESCE_S = 0.25  # work due this soon is done at the same wake-up, because a wake-up costs more than the work


class Supervisor:
    """Runs the loop until a signal ends the service or a part of it dies."""

    def __init__(
        self,
        mailbox: Mailbox,
        turns: TurnTimer,
        requests: SyncRequests,
        host_check: HostCheck,
        health_check: HealthCheck,
        checkpoints: CheckpointTimer,
        manager: ManagerStatus,
        shutdown: Shutdown,
        *,
        rescan_interval: float,
    ) -> None:
        self._mailbox = mailbox
        self._turns = turns
        self._requests = requests
        self._checkpoints = checkpoints
        self._manager = manager
        self._shutdown = shutdown
        self._host_check = Periodic(CHECK_INTERVAL_S, host_check.run)
        self._periodics = (
            Periodic(HEALTH_INTERVAL_S, health_check.run),
            self._host_check,
            Periodic(min(PING_INTERVAL_S, sd_notify.watchdog_interval() or PING_INTERVAL_S), lambda _: manager.ping()),
            Periodic(rescan_interval, lambda _: requests.rescan()),
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
        settle_at = self._requests.next_settle_at()
        if settle_at is not None:
            due_at = min(due_at, settle_at)
        return self._mailbox.take(max(0.0, due_at - time.monotonic()))

    def _handle(self, message: Message | None) -> None:
        match message:
            case Message.RELOAD:
                self._requests.reload()
            case Message.HUNG_CALL_ENDED:
                self._requests.reread_hung()
            case Message.CHECK_DIRECTORY:
                self._host_check.expire()
                self._requests.invalidate_directory()
            case Message.LOG_FILE_BEGUN:
                self._checkpoints.write(time.monotonic(), full=True)

    def _step(self, now: float) -> None:
        """Do the work that is due at `now` (monotonic seconds).

        Raises:
            PartDied: a part died or is stuck.
            Exception: a piece of work on the file thread has raised it.

        """
        self._requests.raise_fault()
        self._requests.settle_if_due(now)
        for periodic in self._periodics:
            if periodic.due(now + COALESCE_S):
                periodic.run(now)
        self._checkpoints.write_if_due(now)
