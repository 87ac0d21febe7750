"""The runs that wait for their next attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from jobscheduler.runner import Run
from jobscheduler.runner.timer import TimerThread


class Retries:
    """Has each run make its next attempt when that is due.

    Thread: any. Lock: none; the steps on a dictionary are atomic.
    """

    def __init__(self, timer: TimerThread, submit: Callable[[Run], object]) -> None:
        """`submit` gets a run whose next attempt is due, on the thread of the timer."""
        self._timer = timer
        self._submit = submit
        self._due: dict[Run, float] = {}

    def __contains__(self, run: object) -> bool:
        """Return whether a run waits for its next attempt."""
        return run in self._due

    def add(self, run: Run, delay: float) -> None:
        """Have a run make its next attempt in `delay` seconds."""
        due = time.monotonic() + delay
        self._due[run] = due
        self._timer.call_at(due, partial(self._again, run))

    def discard(self, run: Run) -> None:
        """Forget a run that has ended. It is submitted all the same when it is due, and does nothing then."""
        self._due.pop(run, None)

    def items(self) -> tuple[tuple[Run, float], ...]:
        """Return the runs that wait, and when their next attempts are due (monotonic seconds)."""
        return tuple(self._due.items())

    def _again(self, run: Run) -> None:
        self.discard(run)
        self._submit(run)
