"""Keeps the runs that wait for a worker and those that have one, and says whose turn it is."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from jobscheduler.runner import Run
from jobscheduler.scheduler.capacity import Capacity


class RunQueue:
    """The runs without a worker, in the order in which they came, and the runs that were handed over to one.

    Lock: its own, a leaf.
    """

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._workers = workers
        self._capacity = Capacity(workers)
        self._waiting: OrderedDict[Run, float] = OrderedDict()
        self._nested: OrderedDict[Run, str] = OrderedDict()
        self._handed: dict[Run, int] = {}
        self._released = 0

    def __len__(self) -> int:
        """Return the number of runs that wait for a worker."""
        return len(self._waiting)

    def __contains__(self, run: Run) -> bool:
        """Return whether a run waits for a worker."""
        return run in self._waiting

    @property
    def busy(self) -> int:
        """The number of runs that have a worker."""
        return self._capacity.busy

    def put(self, run: Run) -> None:
        """Let a run wait for a worker. The run that started it may lend it its own."""
        with self._lock:
            self._waiting[run] = time.monotonic()
            if run.parent is not None:
                self._nested[run] = run.parent.run_id

    def take(self) -> Run | None:
        """Take the run that has waited longest, among those for which there is a worker."""
        with self._lock:
            if not self._waiting:
                return None
            if self._capacity.has_room():
                run = self._waiting.popitem(last=False)[0]
                self._capacity.acquire(run.run_id)
            else:
                nested = next((run for run, parent in self._nested.items() if self._capacity.can_lend(parent)), None)
                if nested is None:
                    return None
                run = nested
                del self._waiting[run]
                self._capacity.borrow(run.run_id, self._nested[run])
            if self._nested:
                self._nested.pop(run, None)
            self._handed[run] = run.begun_attempts
            return run

    def withdraw(self, run: Run) -> None:
        """Let a run wait no longer."""
        with self._lock:
            self._waiting.pop(run, None)
            self._nested.pop(run, None)

    def release(self, run: Run) -> None:
        """Free the worker of a run: its attempt has ended, or did not begin."""
        with self._lock:
            self._released += 1
            self._handed.pop(run, None)
            self._capacity.release(run.run_id)

    def allow_extra_workers(self, lost: int) -> None:
        """Allow one more worker for each that is held by a task that does not end."""
        with self._lock:
            self._capacity.maximum = self._workers + lost

    def backlog(self, now: float) -> tuple[int, float, int]:
        """Return how many runs wait, since when the first does, and how often a worker has become free so far."""
        with self._lock:
            return len(self._waiting), next(iter(self._waiting.values()), now), self._released

    def overlooked(self) -> Run | None:
        """Return the run that has waited longest, if there is a worker for it and it still waits."""
        with self._lock:
            return next(iter(self._waiting), None) if self._capacity.has_room() else None

    def not_begun(self) -> list[Run]:
        """Return the runs that were handed over to a worker and have not begun, in that order."""
        with self._lock:
            handed = list(self._handed.items())
        return [
            run for run, begun in handed if run.begun_attempts == begun and run.record is None and not run.is_cancelled
        ]
