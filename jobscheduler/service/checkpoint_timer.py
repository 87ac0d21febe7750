"""Write a checkpoint to the log when one is due."""

from __future__ import annotations

from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.scheduler import Scheduler

INTERVAL_S = 60.0  # between two checkpoints while anything runs
DELAY_AFTER_CHANGE_S = 1.0  # between two checkpoints while jobs change


class CheckpointTimer:
    """Writes a checkpoint 1 s after jobs changed and 60 s after anything ran, counted from the last one, else never.

    A start writes the first checkpoint, so the timer is made right after that. Times are monotonic seconds.
    """

    def __init__(self, scheduler: Scheduler, reconciler: Reconciler, now: float) -> None:
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._note_written(now)

    def write_if_due(self, now: float) -> None:
        """Write a checkpoint if jobs changed, or anything ran, long enough after the last one."""
        if self._reconciler.changes != self._changes:
            delay = DELAY_AFTER_CHANGE_S
        elif self._scheduler.activity != self._activity:
            delay = INTERVAL_S
        else:
            return
        if now >= self._written_at + delay:
            self.write(now)

    def write(self, now: float, *, full: bool = False) -> None:
        """Write a checkpoint; a full one names every job."""
        self._note_written(now)
        self._scheduler.write_checkpoint(full=full)

    def _note_written(self, now: float) -> None:
        """Note the state before the checkpoint is put together: what changes meanwhile makes the next one due."""
        self._changes, self._activity = self._reconciler.changes, self._scheduler.activity
        self._written_at = now
