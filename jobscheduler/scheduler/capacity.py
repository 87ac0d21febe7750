"""The places for runs, and who works in the place of another.

A run that starts another one, and waits for it, lends it its own place. So a job that waits for a job never waits for
a place that only its own end would free, and no more runs do work of their own at once than there are places.
"""

from __future__ import annotations


class Capacity:
    """Who has a place, and who works in the place of which other run. Runs are known by their ids.

    Invariant: each run that is at work has a place of its own or works in that of one other run. A place is lent to one
    run at a time, and a run to which it was lent may lend it on. No more runs have places of their own than there are.
    Lock: the caller's.
    """

    def __init__(self, most: int) -> None:
        self.maximum = most
        self._own: set[str] = set()
        self._lent: dict[str, str] = {}
        self._borrowed: dict[str, str] = {}

    @property
    def busy(self) -> int:
        """How many runs are at work."""
        return len(self._own) + len(self._borrowed)

    def has_room(self) -> bool:
        """Tell whether there is a place for any run."""
        return len(self._own) < self.maximum

    def can_lend(self, run_id: str) -> bool:
        """Tell whether a run is at work and its place is not lent yet."""
        return run_id not in self._lent and (run_id in self._own or run_id in self._borrowed)

    def acquire(self, run_id: str) -> None:
        """Give a run a place of its own."""
        self._own.add(run_id)

    def borrow(self, run_id: str, parent: str) -> None:
        """Have a run work in the place of the one that started it."""
        self._lent[parent], self._borrowed[run_id] = run_id, parent

    def release(self, run_id: str) -> None:
        """Take the place of a run back; if that was lent, it is from now on the place of the run that works in it."""
        if not self._lent:  # hardly ever is a place lent
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
