"""Waits for the ends of the active runs while the scheduler stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from jobscheduler.scheduler.worker_pool import WorkerPool

STOP_POLL_S = 0.2  # how often a stop asks whether it must end now


class Drain:
    """The wait until no run is active."""

    def __init__(self, lock: threading.Lock, pool: WorkerPool) -> None:
        self._pool = pool
        self._ended = threading.Condition(lock)

    def run_ended(self) -> None:
        """Note that a run has ended. Lock: the scheduler's, held by the caller."""
        self._ended.notify_all()

    def wait(self, deadline: float, must_end_now: Callable[[], bool] = lambda: False) -> None:
        """Wait until no run is active, up to a deadline (monotonic), or until `must_end_now` returns true."""
        with self._ended:
            while self._pool.runner.active_runs and not must_end_now():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return
                self._ended.wait(min(remaining, STOP_POLL_S))
