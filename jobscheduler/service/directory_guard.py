"""The lookout over the jobs directory, on the file thread: the watch stays on what the path means, passes are made.

Once a second it is seen whether the path still means the same directory. That is a single question to the system as
long as the answer is the same as when all was last found well: a service that has nothing to do is to cost nothing.
Each question is made through the guard, so that a directory that does not answer is asked by one lost thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.jobs.watcher import DirectoryWatcher, WatchState
from jobscheduler.model import Level
from jobscheduler.runlog import LogWriter
from jobscheduler.service.startup import DirectoryLock
from jobscheduler.util.hang_guard import CallHung, HangGuard

T = TypeVar("T")


class DirectoryGuard:
    """Keeps the watch on the right directory, and tells the log when that is not possible, once, and when it is.

    `thing` is what the guard calls the directory.
    """

    def __init__(
        self,
        watch: DirectoryWatcher,
        reconciler: Reconciler,
        claim: DirectoryLock,
        log: LogWriter,
        guard: HangGuard,
        thing: str,
    ) -> None:
        self._guard = guard
        self._name = thing
        self._is_doubted = False
        self._watch = watch
        self._reconciler = reconciler
        self._lock = claim
        self._log = log
        self._healthy_fingerprint: object = None
        self._error = ""
        self._reported_holder: int | None = None
        self.is_degraded = False
        """Whether changes are not heard of, so that everything is looked at each second."""

    @property
    def is_shared(self) -> bool:
        """Whether another service uses the same directory."""
        return self._reported_holder is not None

    def check(self) -> None:
        """See whether all is as it was when it was last found well; if not, look closely."""
        if self.is_shared:
            self._relock()
        is_doubted, self._is_doubted = self._is_doubted, False
        seen = self._call(self._watch.quick_fingerprint, None)
        if is_doubted or seen is None or seen != self._healthy_fingerprint or not self._reconciler.is_complete():
            self._healthy_fingerprint = seen if self._check_closely() else None

    def invalidate(self) -> None:
        """Have the next `tend` look closely, whatever it sees. Any thread may do that."""
        self._is_doubted = True

    def _call(self, question: Callable[[], T], unanswered: T) -> T:
        """Ask something about the directory, and return `unanswered` if it does not answer."""
        try:
            return self._guard.call(self._name, question)
        except CallHung:
            return unanswered

    def run_sync(self, look: Callable[[], None]) -> None:
        """Have a pass made. One that fails is told by the next `tend`, which looks at everything."""
        try:
            look()
        except Exception as error:
            self._error = f"a sync failed: {format_error(error)}"
            self.invalidate()

    def _check_closely(self) -> bool:
        """Put the watch where it belongs, and see whether the directory is there; tell whether all is well.

        While it cannot be watched, or a pass fails, everything is looked at each second; the trouble and its end are
        told once.
        """
        state, problem = self._call(self._watch.ensure_armed, (WatchState.UNAVAILABLE, ""))
        if state is not WatchState.OK:
            self._relock()
        fault, self._error = self._error, ""
        self._report_degraded(problem or fault)
        is_clear = state is WatchState.OK and not fault
        self.run_sync(self._reconciler.verify_sources if is_clear else self._reconciler.sync_all)
        self._report_degraded(self._error)
        if self.is_degraded and state is not WatchState.UNAVAILABLE and not problem and not self._error:
            self._log.event(Level.INFO, "watch.restored")
            self.is_degraded = False
        return is_clear and not self._error

    def _relock(self) -> None:
        """Lock the directory that the path means now; if another service has that, both would run its jobs."""
        holder = self._call(self._lock.reacquire, self._reported_holder)
        if holder is not None and holder != self._reported_holder:
            help_ = "two services on one directory run every job twice: stop one of them"
            self._log.event(Level.ERROR, "directory.shared", pid=holder or None, help=help_)
        self._reported_holder = holder

    def _report_degraded(self, problem: str) -> None:
        if problem and not self.is_degraded:
            self._log.event(Level.WARNING, "watch.degraded", problem=problem)
            self.is_degraded = True


def format_error(error: BaseException) -> str:
    """Write an error on one line."""
    return f"{type(error).__name__}: {error}"
