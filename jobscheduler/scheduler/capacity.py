"""Counts the workers that runs have, including those that a run lends to a run that it started.

A run that starts another run and waits for it lends it its worker. So a job never waits for a worker that only its own
end would free. No more runs than there are workers go on at once.
"""

from __future__ import annotations


class Capacity:
    """The workers of running runs, by run id.

    Invariant: each running run has its own worker, or that of one other run. A worker is lent to one run at a time; the
    borrower may lend it on. No more than `maximum` runs have their own.
    Lock: the caller's.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._own: set[str] = set()
        self._lent: dict[str, str] = {}
        self._borrowed: dict[str, str] = {}

    @property
    def busy(self) -> int:
        """The number of running runs."""
        return len(self._own) + len(self._borrowed)

    def has_room(self) -> bool:
        """Return whether a worker is free."""
        return len(self._own) < self.maximum

    def can_lend(self, run_id: str) -> bool:
        """Return whether a run is running and its worker is not lent yet."""
        return run_id not in self._lent and (run_id in self._own or run_id in self._borrowed)

    def acquire(self, run_id: str) -> None:
        """Give a run its own worker."""
        self._own.add(run_id)

    def borrow(self, run_id: str, parent: str) -> None:
        """Lend a run the worker of the run that started it."""
        self._lent[parent], self._borrowed[run_id] = run_id, parent

    def release(self, run_id: str) -> None:
        """Free the worker of a run; if it was lent, its borrower keeps it."""
        if not self._lent:  # the usual case
            self._own.discard(run_id)
            return
        child = self._lent.pop(run_id, None)
        parent = self._borrowed.pop(run_id, None)
        if parent is not None:
            del self._lent[parent]
        self._own.discard(run_id)
        if child is None:
            return
        del self._borrowed[child]
        if parent is None:
            self._own.add(child)
        else:
            self.borrow(child, parent)
