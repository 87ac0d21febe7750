"""The thread that runs syncs and all other work with files, so that the main thread waits for no file.

Work has a name. Work that is queued already is not queued again, so a storm of requests is one sync.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from jobscheduler.util.hang_guard import cpu_time_of

Work = Callable[[], object]


class FileThread:
    """Does work that reads files, one piece after the other."""

    def __init__(self, after: Callable[[BaseException | None], object] = lambda fault: None) -> None:
        """`after` is called on the thread after each piece of work, with `fault`."""
        self._after = after
        self._lock = threading.Lock()
        self._tokens: SimpleQueue[None] = SimpleQueue()  # one for each queued piece of work, and one for the end
        self._waiting: dict[str, Work] = {}
        self._is_closed = False
        self._current = ""
        self._progress_at: tuple[object, float] = (None, 0.0)
        self.fault: BaseException | None = None  # raised by a piece of work; the service has to end
        self._thread = threading.Thread(target=self._work, name="files", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, name: str, work: Work) -> None:
        """Queue work. Never waits."""
        with self._lock:
            is_new = name not in self._waiting
            self._waiting[name] = work
        if is_new:
            self._tokens.put(None)

    def is_waiting(self, name: str) -> bool:
        """Return whether work of this name is queued or in progress."""
        return self._current == name or name in self._waiting

    def busy_for(self) -> float:
        """Return the seconds since the thread last made progress with its work; 0 when it is idle.

        Progress is processor time. Each call compares with the last one, so call it at regular intervals.
        """
        if not self._current:
            self._progress_at = (None, 0.0)
            return 0.0
        progress, now = (self._current, cpu_time_of(self._thread)), time.monotonic()
        if progress != self._progress_at[0]:
            self._progress_at = progress, now
        return now - self._progress_at[1]

    def close(self, seconds: float) -> None:
        """Begin no further work; wait up to `seconds` for the work in progress."""
        self._is_closed = True
        self._tokens.put(None)
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException as fault:
                self.fault = fault
            self._current = ""
            self._after(self.fault)

    def _next(self) -> Work | None:
        self._tokens.get()
        if self._is_closed:
            return None
        with self._lock:
            self._current = next(iter(self._waiting))
            return self._waiting.pop(self._current)
