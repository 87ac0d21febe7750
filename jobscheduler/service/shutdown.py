"""The end of the service in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from jobscheduler.alerts import AlertDispatcher
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.stop_request import StopRequest
from jobscheduler.util.turn_timer import TurnTimer

STEP_WAIT_S = 1.0  # limit of the wait for the file thread, and of the wait for the log's writer


class Membership(Protocol):
    """The place of the service among those that share a database."""

    def hand_over(self) -> None:
        """Let another service lead. Does not wait."""

    def close(self) -> None:
        """Leave the others. No run is at work any more."""


class _NoCluster:
    """The place of a service on its own."""

    def hand_over(self) -> None:
        """Do nothing: no other service could lead."""

    def close(self) -> None:
        """Do nothing."""


NO_CLUSTER: Membership = _NoCluster()


class Shutdown:
    """Ends the parts of the service, one after the other, within the drain timeout or faster if a signal hurries."""

    def __init__(
        self,
        drain_timeout: float,
        mailbox: Mailbox,
        log: LogWriter,
        manager: ManagerStatus,
        turns: TurnTimer,
        files: FileThread,
        scheduler: Scheduler,
        alerts: AlertDispatcher,
        cluster: Membership,
        finish: Callable[[], object],
    ) -> None:
        """`finish` is called before the last line of the log."""
        self._drain_timeout = drain_timeout
        self._mailbox = mailbox
        self._log = log
        self._manager = manager
        self._turns = turns
        self._files = files
        self._scheduler = scheduler
        self._alerts = alerts
        self._cluster = cluster
        self._finish = finish

    def run(self, cause: str) -> None:
        """End the service: files, runs, alerts, then the last checkpoint and the last line."""
        request = StopRequest(self._mailbox, self._keep_alive)
        drained_at = time.monotonic() + self._drain_timeout
        self._manager.stopping(cause)
        self._cluster.hand_over()  # first: while runs end here, the slots to come are another one's
        self._files.close(STEP_WAIT_S)
        self._scheduler.stop(self._drain_timeout, request.poll)
        self._cluster.close()
        self._alerts.stop(drained_at - time.monotonic(), request.poll)
        self._scheduler.write_checkpoint(full=True)
        self._scheduler.write_checkpoint()  # a small one, for which there is room on a disk that is full
        self._log.flush(STEP_WAIT_S)  # the copy of the log has then seen every line, and counts those that it lacks
        self._finish()
        self._log.event(Level.INFO, "service.stopped")

    def run_before_start(self, cause: str) -> None:
        """End a service that has scheduled nothing yet, without a checkpoint.

        The next start then goes on from the checkpoint that this one found, and from the records written since.
        """
        self._manager.stopping(cause)
        self._log.event(Level.INFO, "service.stopped")

    def _keep_alive(self) -> None:
        self._manager.keep_alive()
        self._turns.begin()
        self._log.check_file(time.monotonic())
