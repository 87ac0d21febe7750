"""Queue work that reads files for the file thread: syncs, reloads, checks and maintenance.

Each method only queues. A piece that is queued already is not queued again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.directory_guard import DirectoryGuard
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.reload import Reload


class SyncRequests:
    """Queues syncs, checks of the directory, reloads and maintenance. Thread: the main thread."""

    def __init__(
        self,
        files: FileThread,
        directory: DirectoryGuard,
        reconciler: Reconciler,
        alert_defaults: AlertDefaultsReader,
        reload: Reload,
        maintenance: Mapping[str, Callable[[float], object]],
    ) -> None:
        """`maintenance` is work by name, due at each health check; it gets monotonic seconds."""
        self._files = files
        self._directory = directory
        self._reconciler = reconciler
        self._alert_defaults = alert_defaults
        self._reload = reload
        self._maintenance = maintenance

    def raise_fault(self) -> None:
        """Raise what a piece of work has raised, if any has: the service has to end."""
        if self._files.fault is not None:
            raise self._files.fault

    def next_settle_at(self) -> float | None:
        """Return when bad news settles next, in monotonic seconds; None if it never does, or its sync is queued."""
        return None if self._files.is_waiting("settle") else self._reconciler.next_settle_at()

    def settle_if_due(self, now: float) -> None:
        """Have what has settled by `now` synced."""
        settle_at = self._reconciler.next_settle_at()
        if settle_at is not None and settle_at <= now:
            self._sync("settle", partial(self._reconciler.sync_items, ()))

    def rescan(self) -> None:
        """Have everything synced."""
        self._sync("rescan", self._reconciler.sync_all)

    def reconsider(self) -> None:
        """Have the active jobs compared with the clock again, which was set back."""
        self._sync("reconsider", self._reconciler.reconsider)

    def reread_hung(self) -> None:
        """Have everything read again that did not answer. No event of a file says that it answers again."""
        self._files.submit("reread", self._reread)

    def check_directory(self) -> None:
        """Have the jobs directory checked."""
        self._files.submit("check directory", self._directory.check)

    def invalidate_directory(self) -> None:
        """Make the next check of the jobs directory a close one."""
        self._directory.invalidate()

    def reload(self) -> None:
        """Have the zone, the alerts, all files and the database read again."""
        self._files.submit("reload", self._reload.run)

    def maintain(self, now: float) -> None:
        """Have the maintenance done."""
        for name, work in self._maintenance.items():
            self._files.submit(name, partial(work, now))

    def _sync(self, name: str, sync: Callable[[], None]) -> None:
        self._files.submit(name, partial(self._directory.run_sync, sync))

    def _reread(self) -> None:
        self._alert_defaults.reload_if_unread()
        self._directory.run_sync(self._reconciler.sync_all)
