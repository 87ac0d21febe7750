"""Pauses jobs and resumes them on request, and says what is paused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from jobscheduler.model import Job, Pause
from jobscheduler.model.selection import Selector
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.pauses import JobTags, Resumed
from jobscheduler.scheduler.run_actions import perform_effects


class Pausing:
    """The pauses of a scheduler.

    Thread: any. Lock: the scheduler's.
    """

    def __init__(self, lock: threading.Lock, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._lock = lock
        self._engine = engine
        self._clock = clock

    def pause(
        self, selectors: Iterable[Selector], until: datetime | None = None, reason: str = "", by: str = ""
    ) -> list[Pause]:
        """Skip the slots of the selected jobs, pending ones included, before `until` (None: until they are resumed).

        Return the pauses that are new, or last longer than before. Runs that have begun go on, with further attempts.

        Raises:
            RuntimeError: the service is stopping.
            TooManyPauses: nothing has changed.

        """
        with self._lock:
            self._engine.require_running()
            added, effects = self._engine.pauses.pause(selectors, until, reason, by, self._clock())
        perform_effects(effects)
        return added

    def resume(self, selectors: Collection[Selector], jobs: JobTags, by: str = "") -> list[Resumed]:
        """Let the slots of the selected jobs run from now on, whatever paused them; return what has changed.

        `jobs` are all that are known.

        Raises:
            RuntimeError: the service is stopping.
            TooManyPauses: nothing has changed.

        """
        with self._lock:
            self._engine.require_running()
            return self._engine.pauses.resume(selectors, jobs, by, self._clock())

    def in_force(self) -> tuple[Pause, ...]:
        """Return the pauses in force, in the order in which they began."""
        now = self._clock()
        with self._lock:
            return self._engine.registry.pauses.in_force(now)

    def of(self, job: Job) -> tuple[Pause, ...]:
        """Return the pauses in force for a job, which need not be active. Does not wait for the lock."""
        return self._engine.registry.pauses.index.in_force(job.id, job.tags, self._clock())
