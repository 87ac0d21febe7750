"""The thread that makes syncs and all else that reads files, so that the main thread waits for no file.

Work is named. Work that waits already is not put a second time, so a storm of requests is one look at the files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from jobscheduler.util.hang_guard import cpu_time_of

Work = Callable[[], object]


class FileThread:
    """Does work that reads files, one piece after the other. `after` is called on that thread after each of them."""

    def __init__(self, after: Callable[[], object] = lambda: None) -> None:
        self._after = after
        self._lock = threading.Lock()
        self._tokens: SimpleQueue[None] = SimpleQueue()  # one for each piece of work that waits, and one for the end
        self._waiting: dict[str, Work] = {}
        self._is_closed = False
        self._current = ""
        self._progress_at: tuple[object, float] = (None, 0.0)
        self.fault: BaseException | None = None
        """What a piece of work has raised: the service is to end."""
        self._thread = threading.Thread(target=self._work, name="files", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, name: str, work: Work) -> None:
        """Have work done soon. Never waits for any."""
        with self._lock:
            is_new = name not in self._waiting
            self._waiting[name] = work
        if is_new:
            self._tokens.put(None)

    def is_waiting(self, name: str) -> bool:
        """Tell whether work of this name waits or is being done."""
        return self._current == name or name in self._waiting

    def busy_for(self) -> float:
        """Return for how many seconds the thread has been at its work without any progress; 0 when it is idle.

        Progress is processor time. The question is to be asked again and again: it compares with the last time.
        """
        if not self._current:
            self._progress_at = (None, 0.0)
            return 0.0
        progress, now = (self._current, cpu_time_of(self._thread)), time.monotonic()
        if progress != self._progress_at[0]:
            self._progress_at = progress, now
        return now - self._progress_at[1]

    def close(self, seconds: float) -> None:
        """Begin no work any more; wait for the present one, so many seconds at most."""
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
            self._after()

    def _next(self) -> Work | None:
        self._tokens.get()
        if self._is_closed:
            return None
        with self._lock:
            self._current = next(iter(self._waiting))
            return self._waiting.pop(self._current)
