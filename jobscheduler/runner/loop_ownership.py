"""Which thread owns the process loop, and how another thread takes over from one that hangs in a start.

1. Each thread has a *term*, a number that no other thread ever gets. The thread of the current term is the owner.
2. A start may hang, so the owner calls `begin_start` before it and `end_start` after it.
3. `replace_if_hung` ends the term of an owner whose start takes too long, and begins the next term.
4. One lock excludes `end_start` and the takeover from each other, so exactly one of the two threads is the owner.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress

START_TIMEOUT_S = 0.25  # after which a start holds up the others for too long; the usual one takes 0.0002


class LoopOwnership:
    """Decides which thread owns the loop. `begin` starts the thread of a term, or raises if it cannot.

    Invariant: at most one thread is the owner. Only the owner touches the state of the loop and waits in `poll`, so
    no other thread can consume a wakeup that was meant for it.
    Invariant: a term ends only during a start, or when its thread retires. Outside a start the owner stays the owner
    without a lock.
    Invariant: a thread whose term has ended is never the owner again.
    Lock: `_lock` is a leaf except for `begin`. `replace_if_hung` does not wait for it.
    """

    def __init__(self, begin: Callable[[int], None]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.term = 0
        self.has_owner = False
        self.start_began_at = 0.0

    def ensure_owner(self) -> None:
        """Begin a term unless there is an owner. Raises: what `begin` raises; there is no new term then."""
        if self.has_owner:
            return
        with self._lock:
            if not self.has_owner:
                self._begin_term()

    def _begin_term(self) -> None:
        """Make a new thread the owner. Lock: held, so that the former owner cannot return from its start meanwhile.

        The new term is set before its thread starts, so that neither thread can see the old term.
        """
        former, since = self.term, self.start_began_at
        self.term, self.start_began_at = next(self._numbers), 0.0
        try:
            self._begin(self.term)
        except BaseException:
            self.term, self.start_began_at = former, since
            raise
        self.has_owner = True

    def begin_start(self, now: float) -> None:
        """Note that the owner begins a start at `now` (monotonic seconds). Another thread may take over from now on."""
        self.start_began_at = now

    def end_start(self, term: int) -> bool:
        """Note that the start of this term is over. Return False if another thread has taken over meanwhile."""
        with self._lock:
            if self.term != term:
                return False
            self.start_began_at = 0.0
            return True

    def replace_if_hung(self, now: float) -> None:
        """Replace the owner if its start takes too long at `now` (monotonic seconds). Does not wait.

        If the host has no thread left, the next call tries again.
        """
        if not self._is_hung(now) or not self._lock.acquire(blocking=False):
            return
        try:
            if self._is_hung(now):
                with suppress(RuntimeError):
                    self._begin_term()
        finally:
            self._lock.release()

    def _is_hung(self, now: float) -> bool:
        since = self.start_began_at
        return since > 0 and now - since > START_TIMEOUT_S

    def retire(self, is_idle: Callable[[], bool], leave: Callable[[], None]) -> bool:
        """Give up the loop for good if no work is left. Return whether it was given up.

        Thread: the owner. Lock: `leave` is called under it, before another term can begin.
        Invariant: a caller first adds work and then reads `has_owner`; here the order is reversed. So either this
        thread sees the work and stays, or the caller sees that there is no owner and begins a term.
        """
        with self._lock:
            self.has_owner = False
            if not is_idle():
                self.has_owner = True
                return False
            leave()
            return True
