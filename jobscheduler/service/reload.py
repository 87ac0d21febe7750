"""The reload that SIGHUP asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.zone_watch import ZoneWatch


class Reload:
    """Reads everything again: the zone, the alerts, every job file, and the database."""

    def __init__(
        self,
        mailbox: Mailbox,
        log: LogWriter,
        manager: ManagerStatus,
        zone: ZoneWatch,
        alert_defaults: AlertDefaultsReader,
        directory: DirectoryGuard,
        reconciler: Reconciler,
        reload_database: Callable[[], object],
    ) -> None:
        self._mailbox = mailbox
        self._log = log
        self._manager = manager
        self._zone = zone
        self._alert_defaults = alert_defaults
        self._directory = directory
        self._reconciler = reconciler
        self._reload_database = reload_database

    def run(self) -> None:
        """Reload on the file thread. The log needs no part in it: it follows the name of its file by itself."""
        self._manager.reloading()
        self._zone.reload()
        self._alert_defaults.reload()
        self._directory.run_sync(partial(self._reconciler.reload, self._zone.context))
        self._reload_database()
        if self._mailbox.is_ending():
            return
        self._zone.note_reloaded()
        jobs, refused = self._reconciler.counts()
        self._zone.warn_of_odd_zone()
        self._log.event(Level.INFO, "service.reloaded", jobs=jobs, refused=refused, timezone=self._zone.zone())
        self._manager.ready()
