"""The reload that SIGHUP asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jobscheduler.control.administration import ReloadOutcome, ReloadRequests
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.reloaded_inputs import ReloadedInputs


class Reload:
    """Reads everything again: the settings, the zone, the alerts, every job file, and the database."""

    def __init__(
        self,
        mailbox: Mailbox,
        log: LogWriter,
        manager: ManagerStatus,
        reloads: ReloadRequests,
        inputs: ReloadedInputs,
        directory: DirectoryGuard,
        reconciler: Reconciler,
        reload_database: Callable[[], object],
    ) -> None:
        self._mailbox = mailbox
        self._log = log
        self._manager = manager
        self._reloads = reloads
        self._inputs = inputs
        self._zone = inputs.zone
        self._directory = directory
        self._reconciler = reconciler
        self._reload_database = reload_database

    def run(self) -> None:
        """Reload on the file thread. The log needs no part in it: it follows the name of its file by itself."""
        self._reloads.begin()
        self._manager.reloading()
        moved_before = self._reconciler.moved
        change, new_rules = self._inputs.reload()
        self._directory.run_sync(partial(self._reconciler.reload, self._zone.context, new_rules))
        self._reload_database()
        if self._mailbox.is_ending():
            return
        self._zone.note_reloaded()
        jobs, refused, stale = self._reconciler.counts(is_settled=False)
        self._zone.warn_of_odd_zone()
        applied, waiting = " ".join(change.applied) or None, " ".join(change.need_restart) or None
        zone = self._zone.zone()
        self._log.event(
            Level.INFO,
            "service.reloaded",
            jobs=jobs,
            refused=refused,
            stale=stale or None,
            timezone=zone,
            applied=applied,
            need_restart=waiting,
            moved=self._reconciler.moved - moved_before if new_rules else None,
        )
        moved = self._reconciler.moved - moved_before
        self._reloads.end(
            ReloadOutcome(
                jobs, refused, zone, change.applied, change.need_restart, change.problems, new_rules, moved, stale
            )
        )
        self._manager.ready()
