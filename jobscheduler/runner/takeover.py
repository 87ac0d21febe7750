"""Which thread is in charge of the loop, and how another takes over while that one hangs in a start.

1. Each thread has a *term*, a number that no other thread ever gets. The thread of the present term is in charge.
2. Before a start, which may hang, the thread lends the charge; after it, the thread takes the charge back.
3. `look` ends the term of a thread that has lent the charge for too long, and begins the next one.
4. Taking back and taking over exclude each other by one lock, so exactly one of the two threads has the charge then.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress

START_TIMEOUT_S = 0.25
"""A start that takes longer than this holds up the others for too long, in seconds. The usual one takes 0.0002."""


class LoopOwnership:
    """Says which thread is in charge. `begin` starts the thread of a term; what it raises means there is none.

    Invariant: at most one thread is in charge. Only that thread touches what belongs to the loop, and only it waits
    for the bell, so no other thread can take a ring that was meant for it.
    Invariant: a term ends only while its thread has lent the charge, or when that thread retires. A thread that has
    the charge keeps it, without a lock, until it lends it the next time.
    Invariant: a thread whose term has ended never has the charge again.
    Lock: `_lock` is a leaf but for `begin`. A look does not wait for it.
    """

    def __init__(self, begin: Callable[[int], None]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.term = 0
        self.has_owner = False
        self.start_began_at = 0.0

    def ensure_owner(self) -> None:
        """Begin a term unless a thread is in charge. Raises what `begin` raises; then there is no new term."""
        if self.has_owner:
            return
        with self._lock:
            if not self.has_owner:
                self._begin_term()

    def _begin_term(self) -> None:
        """Have a new thread in charge. Under the lock: the former thread cannot take the charge back meanwhile.

        The term counts before its thread exists, so that neither the new thread nor the former one can see the old one.
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
        """Let another thread take over if this one does not come back in time (monotonic seconds)."""
        self.start_began_at = now

    def end_start(self, term: int) -> bool:
        """Take back what was lent; False if another thread has taken over, and this one is in charge no more."""
        with self._lock:
            if self.term != term:
                return False
            self.start_began_at = 0.0
            return True

    def replace_if_hung(self, now: float) -> None:
        """Have another thread take over if the charge has been lent for too long (monotonic seconds); does not wait.

        A host without a thread for it lets the next look try again.
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
        """Give up the charge, for good, if nothing is left to do; only for the thread that is in charge.

        Invariant: a caller brings work first and looks at `is_taken` then; here it is the other way round. So either
        this thread sees the work and stays, or the caller sees that no thread is there and begins a term.
        `leave` is called under the lock, before a further term can begin.
        """
        with self._lock:
            self.has_owner = False
            if not is_idle():
                self.has_owner = True
                return False
            leave()
            return True
