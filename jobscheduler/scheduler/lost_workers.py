"""Replaces the threads that tasks hold for good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Event, Level, LogEntry
from jobscheduler.scheduler.run_queue import RunQueue
from jobscheduler.scheduler.waker import Waker


class LostWorkers:
    """Allows one more thread, and one more run, for each thread that is lost.

    Lock: its own, so that an older count does not overwrite a newer one.
    """

    def __init__(
        self, waker: Waker, queue: RunQueue, write: Callable[[LogEntry], object], clock: Callable[[], datetime]
    ) -> None:
        self._waker = waker
        self._queue = queue
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0

    def update(self, count: Callable[[], int]) -> None:
        """Allow as many as `count` returns, and log it if they have become more."""
        with self._lock:
            before, self._count = self._count, count()
            self._waker.set_extra_workers(self._count)
            self._queue.allow_extra_workers(self._count)
            if self._count > before:
                self._write(Event(self._clock(), Level.WARNING, "pool.lost", (("lost", self._count),)))
