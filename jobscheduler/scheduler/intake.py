"""Whether runs may still begin, and what becomes of those that may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.records import cancelled_record


class Intake:
    """Open until the service stops. From then on each run whose turn comes is cancelled."""

    def __init__(self, record: Callable[[Record], object], clock: Callable[[], datetime]) -> None:
        self.is_closed = False
        self._record = record
        self._clock = clock

    def close(self) -> None:
        """Let no further run or attempt begin."""
        self.is_closed = True

    def cancel(self, run: Run) -> bool:
        """Cancel a run that has not begun; return whether it had not.

        The next start accounts for its slot; a manual run gets its record now.
        """
        was_cancelled = run.is_cancelled
        if not run.cancel():
            return False
        if run.scheduled is None and not was_cancelled:
            self._record(cancelled_record(run, "shutdown", self._clock()))
        return True
