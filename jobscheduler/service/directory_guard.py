"""Keep the watcher on the directory to which the path resolves now, and run a sync when that changed.

A check each second costs one `stat` while its answer is the same as when all was last found well, so an idle service
costs nothing. Each call goes through the hang guard: a directory that does not answer holds one thread only.

Thread: the file thread.
"""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.watcher import DirectoryWatcher, WatchState
from jobscheduler.model import EventLogger, Level
from jobscheduler.service.directory_lock import LockKeeper
from jobscheduler.service.guarded_calls import call_or
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.text import format_error


class DirectoryGuard:
    """Keeps the watcher on the right directory, and logs once when that fails and once when it works again."""

    def __init__(
        self,
        watcher: DirectoryWatcher,
        reconciler: Reconciler,
        lock: LockKeeper,
        log_event: EventLogger,
        guard: HangGuard,
        name: str,
    ) -> None:
        """`name` is the guard's name for the directory."""
        self._watcher = watcher
        self._reconciler = reconciler
        self._lock = lock
        self._log_event = log_event
        self._guard = guard
        self._name = name
        self._healthy_fingerprint: object = None  # None makes the next check a close one
        self._sync_error = ""
        self._is_invalidated = False
        self.is_degraded = False  # changes are not noticed by events, so everything is synced each second

    def check(self) -> None:
        """Check closely if anything differs from when all was last found well."""
        if self._lock.is_shared:
            self._lock.reacquire()
        is_invalidated, self._is_invalidated = self._is_invalidated, False
        fingerprint = call_or(self._guard, self._name, self._watcher.quick_fingerprint, None)
        is_healthy = fingerprint is not None and fingerprint == self._healthy_fingerprint
        if is_invalidated or not is_healthy or not self._reconciler.is_complete():
            self._healthy_fingerprint = fingerprint if self._check_closely() else None

    def invalidate(self) -> None:
        """Make the next `check` a close one, whatever the fingerprint. For any thread."""
        self._is_invalidated = True

    def run_sync(self, sync: Callable[[], None]) -> None:
        """Run a sync. If it fails, the next `check` reports that and syncs everything."""
        try:
            sync()
        except Exception as error:
            self._sync_error = f"a sync failed: {format_error(error)}"
            self.invalidate()

    def _check_closely(self) -> bool:
        """Arm the watcher, sync what may have changed, and return whether all is well.

        While the directory cannot be watched, or a sync fails, each check syncs everything. The problem and its end are
        logged once.
        """
        unavailable = WatchState.UNAVAILABLE, ""
        state, problem = call_or(self._guard, self._name, self._watcher.ensure_armed, unavailable)
        if state is not WatchState.OK:
            self._lock.reacquire()
        last_error, self._sync_error = self._sync_error, ""
        self._report_degraded(problem or last_error)
        is_well = state is WatchState.OK and not last_error
        self.run_sync(self._reconciler.verify_sources if is_well else self._reconciler.sync_all)
        self._report_degraded(self._sync_error)
        if self.is_degraded and state is not WatchState.UNAVAILABLE and not problem and not self._sync_error:
            self._log_event(Level.INFO, "watch.restored")
            self.is_degraded = False
        return is_well and not self._sync_error

    def _report_degraded(self, problem: str) -> None:
        if problem and not self.is_degraded:
            self._log_event(Level.WARNING, "watch.degraded", problem=problem)
            self.is_degraded = True
