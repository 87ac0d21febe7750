"""The outputs of ended attempts in memory, until they are written; the latest of those that cannot be written, too."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from jobscheduler.model import AttemptOutput

MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024  # that wait for a disk; beyond it the oldest are lost
MAX_REMEMBERED_BYTES = 2 * 1024 * 1024  # of outputs that no file has, for clients that follow a run at its end

_OVERHEAD = 512  # bytes that an output takes beside what was printed


class RecentOutputs:
    """Takes the outputs of ended attempts from the runner, and gives them to the thread that writes them.

    Thread: any. Nothing in here waits.
    """

    def __init__(self, max_unwritten: int = MAX_UNWRITTEN_BYTES, max_remembered: int = MAX_REMEMBERED_BYTES) -> None:
        """Both bounds are bytes: of outputs that wait for a disk, and of those that no file has."""
        self._lock = threading.Lock()
        self._unwritten = _Ring(max_unwritten)
        self._remembered = _Ring(max_remembered)
        self._lost = 0
        self._news = threading.Event()

    def keep(self, output: AttemptOutput) -> None:
        """Take the output of an ended attempt."""
        with self._lock:
            self._lost += self._unwritten.add(output)
        if not self._news.is_set():
            self._news.set()

    def of(self, run_id: str) -> list[AttemptOutput]:
        """Return the outputs of a run that are in memory, in the order of its attempts."""
        with self._lock:
            return [*self._remembered.of(run_id), *self._unwritten.of(run_id)]

    # -- for the thread that writes them

    def wait(self, seconds: float) -> bool:
        """Wait for outputs to write, or for `wake`; return whether either came."""
        has_news = self._news.wait(seconds)
        self._news.clear()
        return has_news

    def wake(self) -> None:
        """End the wait."""
        self._news.set()

    def unwritten(self) -> list[AttemptOutput]:
        """Return the outputs that are not written yet, oldest first."""
        with self._lock:
            return self._unwritten.all()

    def written(self, outputs: Iterable[AttemptOutput]) -> None:
        """Forget outputs, because files have them now."""
        with self._lock:
            for output in outputs:
                self._unwritten.discard(output)

    def give_up(self, outputs: Iterable[AttemptOutput]) -> None:
        """Remember outputs for a while, because no file will have them."""
        with self._lock:
            for output in outputs:
                if self._unwritten.discard(output):
                    self._remembered.add(output)

    def take_lost(self) -> int:
        """Return how many outputs were lost because they waited for too long, and count from 0 again."""
        with self._lock:
            lost, self._lost = self._lost, 0
        return lost


class _Ring:
    """Outputs by run, in the order of their ends; beyond so many bytes it drops the oldest run."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._runs: dict[str, list[AttemptOutput]] = {}

    def add(self, output: AttemptOutput) -> int:
        """Add an output and return how many were dropped for it."""
        self._runs.setdefault(output.run_id, []).append(output)
        self._size += _cost(output)
        dropped = 0
        while self._size > self._max_bytes:
            oldest = self._runs.pop(next(iter(self._runs)))
            self._size -= sum(map(_cost, oldest))
            dropped += len(oldest)
        return dropped

    def discard(self, output: AttemptOutput) -> bool:
        """Remove an output and return whether it was there."""
        outputs = self._runs.get(output.run_id, [])
        left = [other for other in outputs if other is not output]
        if len(left) == len(outputs):
            return False
        self._size -= _cost(output)
        if left:
            self._runs[output.run_id] = left
        else:
            del self._runs[output.run_id]
        return True

    def of(self, run_id: str) -> list[AttemptOutput]:
        return self._runs.get(run_id, [])

    def all(self) -> list[AttemptOutput]:
        return [output for outputs in self._runs.values() for output in outputs]


def _cost(output: AttemptOutput) -> int:
    return len(output.kept.head) + len(output.kept.tail) + _OVERHEAD
