"""Call the time limits of all runs on one timer thread."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Callback = Callable[[], None]


class TimerThread:
    """Calls callbacks at instants of `time.monotonic()`, one after the other, on one thread started on first use.

    An exception of a callback goes to `report_error`, and the thread continues.
    """

    def __init__(self, report_error: Callable[[Exception], None]) -> None:
        self._report_error = report_error
        self._changed = threading.Condition(threading.Lock())
        self._due: list[tuple[float, int]] = []
        self._callbacks: dict[int, Callback] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_at(self, when: float, callback: Callback) -> int:
        """Call `callback` at `when`. Return the number by which `cancel` finds it."""
        with self._changed:
            number = next(self._numbers)
            self._callbacks[number] = callback
            heapq.heappush(self._due, (when, number))
            self._ensure_thread()
            if self._due[0][1] == number:
                self._changed.notify()
        return number

    def cancel(self, number: int) -> None:
        """Cancel a callback, unless it has been called."""
        with self._changed:
            self._callbacks.pop(number, None)
            if len(self._due) > 2 * len(self._callbacks) + 64:  # as with a limit of a day each second
                self._due = [entry for entry in self._due if entry[1] in self._callbacks]
                heapq.heapify(self._due)

    def close(self) -> None:
        """Cancel all callbacks and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _ensure_thread(self) -> None:
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._work, name="time-limits", daemon=True)
            with suppress(RuntimeError):  # the host has no thread left: the next run with a limit tries again
                thread.start()
                self._thread = thread

    def _work(self) -> None:
        while callback := self._next():
            try:
                callback()
            except Exception as error:
                self._report_error(error)

    def _next(self) -> Callback | None:
        """Wait for the next due callback and return it; None when closed."""
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(None if wait is None else min(wait, threading.TIMEOUT_MAX))
                elif callback := self._callbacks.pop(heapq.heappop(self._due)[1], None):
                    return callback
        return None
