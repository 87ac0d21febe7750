"""How the service is, for the loop that serves the page: computed on other threads, and shared for a moment.

Computing it takes locks that a stuck thread may hold, so the loop must not. But it is computed once for all that ask in
the same moment, so a mass of requests, by any user of the host, cannot keep a probe from its answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FRESH_FOR_S = 0.1  # how long what was computed is given to others that ask
MAX_AGE_S = 5.0  # how long it is given to others while it is asked for or computed anew


class HealthCache:
    """Tells what is wrong, None if nothing is. `compute` finds that out, and may wait."""

    def __init__(self, compute: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._compute = compute
        self._clock = clock
        self._last: tuple[float, str | None] | None = None
        self._computing = 0
        self._lock = threading.Lock()
        self._own = threading.local()

    def offer(self, is_asked: bool = False) -> bool:
        """Tell whether something recent is known; then the next `wrong` of this thread is that, and does not wait.

        `is_asked` says that another thread is about to compute it.
        """
        last, is_asked = self._last, is_asked or self._computing > 0
        if last is None or self._clock() - last[0] > (MAX_AGE_S if is_asked else FRESH_FOR_S):
            return False
        self._own.offered = last
        return True

    def issue(self) -> str | None:
        """Say what is wrong: what was offered to this thread, or what is found now."""
        offered: tuple[float, str | None] | None = self._own.__dict__.pop("offered", None)
        if offered is not None:
            return offered[1]
        self._count(1)
        try:
            found = self._compute()
            self._last = self._clock(), found
        finally:
            self._count(-1)
        return found

    def _count(self, more: int) -> None:
        with self._lock:
            self._computing += more
