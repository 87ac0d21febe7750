"""The health of the service for the loop that serves the pages: computed on other threads, and cached for a moment.

Computing it takes locks that a stuck thread may hold, so the loop must not compute it. One result answers all requests
of the same moment, so a mass of requests, by any user of the host, cannot keep a probe from its answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FRESH_FOR_S = 0.1  # seconds that a result answers further requests
MAX_AGE_S = 5.0  # seconds that it does so while a new one is being computed


class HealthCache:
    """Return what is wrong, None if nothing is. `compute` finds that out, and may wait."""

    def __init__(self, compute: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._compute = compute
        self._clock = clock
        self._last: tuple[float, str | None] | None = None
        self._computing = 0
        self._lock = threading.Lock()
        self._own = threading.local()

    def offer(self, is_asked: bool = False) -> bool:
        """Return whether a recent result is known; the next `issue` on this thread then returns it without waiting.

        `is_asked` means that another thread is about to compute a new one.
        """
        last, is_asked = self._last, is_asked or self._computing > 0
        if last is None or self._clock() - last[0] > (MAX_AGE_S if is_asked else FRESH_FOR_S):
            return False
        self._own.offered = last
        return True

    def issue(self) -> str | None:
        """Return what is wrong: the result offered to this thread, or a new one."""
        offered: tuple[float, str | None] | None = self._own.__dict__.pop("offered", None)
        if offered is not None:
            return offered[1]
        self._count(1)
        try:
            result = self._compute()
            self._last = self._clock(), result
        finally:
            self._count(-1)
        return result

    def _count(self, change: int) -> None:
        with self._lock:
            self._computing += change
