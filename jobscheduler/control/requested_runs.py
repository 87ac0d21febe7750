"""The runs that clients have asked for, so that they can ask how these ended."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from jobscheduler.runner import Run

MAX_RUNS = 1000  # remembered after their end


class RequestedRuns:
    """Remembers runs that clients have requested or follow.

    Thread: any.
    """

    def __init__(self, active_run: Callable[[str], Run | None]) -> None:
        """`active_run` returns a run that has no record yet."""
        self._active_run = active_run
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, run: Run) -> None:
        """Remember a run."""
        with self._lock:
            self._runs[run.run_id] = run
            while len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)

    def find(self, run_id: str) -> Run | None:
        """Return a run that is active, or was when it was last asked for; else None."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None and (run := self._active_run(run_id)) is not None:
            self.add(run)
        return run
