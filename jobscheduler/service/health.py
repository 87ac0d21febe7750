"""Check that the parts on which everything depends are alive and on time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from jobscheduler.jobs.watcher import DirectoryWatcher
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler

MAX_UNANSWERED_PROBES = 6  # wake-ups, a few seconds apart, until the scheduling thread counts as stuck
OVERDUE_AFTER_S = 15.0  # until a part is late with one piece of work, such as a batch of lines or an event


class FurtherThreads(Protocol):
    """Threads of a part that only some services have."""

    def dead(self) -> str | None:
        """Return which one has died, if any."""

    def late(self) -> str | None:
        """Return which one has died or is stuck, if any."""


class HealthMonitor:
    """Checks the scheduling thread, the runner, the log writer, the watcher and further parts."""

    def __init__(
        self,
        scheduler: Scheduler,
        log: LogWriter,
        watcher: DirectoryWatcher,
        loops: Mapping[str, Callable[[], float]] | None = None,
        node: FurtherThreads | None = None,
    ) -> None:
        """`loops` are further parts by name; each returns the seconds for which it has been busy.

        `node` has the threads of a node of a cluster.
        """
        self._node = node
        self._loops = loops or {}
        self._scheduler = scheduler
        self._log = log
        self._watcher = watcher
        self._last_loop_count = -1
        self._unanswered_probes = 0

    def probe(self) -> None:
        """Wake the scheduling thread, and count the wake-ups that it did not answer.

        Probes are counted, not seconds. Otherwise a process that was frozen as a whole would find the thread stuck.
        """
        loop_count = self._scheduler.loop_count
        self._unanswered_probes = 0 if loop_count != self._last_loop_count else self._unanswered_probes + 1
        self._last_loop_count = loop_count
        self._scheduler.wakeup()

    def fatal(self) -> str | None:
        """Return which part died or is stuck, if any, so that only a new process helps."""
        if not self._scheduler.is_alive():
            return "the scheduling thread died"
        if self._unanswered_probes > MAX_UNANSWERED_PROBES:
            return "the scheduling thread is stuck"
        if self._scheduler.runs.is_stuck():
            return f"the runner stands still: {self._scheduler.runs.stuck_run()}"
        if not self._log.is_alive():
            return "the log writer died"
        dead = None if self._node is None else self._node.dead()
        return None if dead is None else f"{dead} died"

    def overdue(self) -> str | None:
        """Return which part is late, if any; it may still recover. A dead watcher has been replaced by then."""
        if self._unanswered_probes > 1:
            return "the scheduling thread"
        if self._scheduler.runs.stuck_run() is not None:
            return "the runner"
        if self._log.busy_for() > OVERDUE_AFTER_S:
            return "the log writer"
        if self._watcher.busy_for() > OVERDUE_AFTER_S:
            return "the watcher"
        late = None if self._node is None else self._node.late()
        return late or next((name for name, busy_for in self._loops.items() if busy_for() > OVERDUE_AFTER_S), None)
