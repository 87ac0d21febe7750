"""Pauses jobs and resumes them, and accounts for it when pauses begin and end.

Lock: the caller's, for every method.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from jobscheduler.model import Pause
from jobscheduler.model.selection import Selector
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.pauses import JobTags, Resumed
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_actions import Effect, RunActions


class PauseActions:
    """Changes the pauses of a registry. The line about a change stands before the records that follow from it."""

    def __init__(self, registry: JobRegistry, actions: RunActions, accounting: Accounting) -> None:
        self._registry = registry
        self._actions = actions
        self._accounting = accounting

    def pause(
        self, selectors: Iterable[Selector], until: datetime | None, reason: str, by: str, now: datetime
    ) -> tuple[list[Pause], list[Effect]]:
        """Skip the slots of the selected jobs from now on, pending ones included; return the pauses that are new.

        Raises:
            TooManyPauses: nothing has changed.

        """
        added = self._registry.pauses.add(selectors, until, reason, by, now)
        for pause in added:
            self._accounting.paused(pause, now)
        effects = []
        for entry in self._registry.jobs.values():
            if not entry.is_idle and any(pause.covers(entry.job.id, entry.job.tags) for pause in added):
                effects += self._actions.skip_pending(entry)
        return added, effects

    def resume(self, selectors: Collection[Selector], jobs: JobTags, by: str, now: datetime) -> list[Resumed]:
        """Let the slots of the selected jobs run from now on, whatever paused them; return what has changed.

        Raises:
            TooManyPauses: nothing has changed.

        """
        changes = self._registry.pauses.resume(selectors, jobs, by, now)
        for change in changes:
            self._accounting.resumed(change, now)
        return changes

    def note_time(self, now: datetime) -> None:
        """Account for the pauses whose time is over."""
        self._keep(self._registry.pauses.note_time(now), now)

    def clock_set_back(self, now: datetime) -> None:
        """Account for the pauses that are in force again because the clock was set back to `now`."""
        self._keep(self._registry.pauses.clock_set_back(now), now)

    def _keep(self, changes: Iterable[Pause | Resumed], now: datetime) -> None:
        for change in changes:
            if isinstance(change, Resumed):
                self._accounting.resumed(change, now)
            else:
                self._accounting.paused(change, now, again=True)
