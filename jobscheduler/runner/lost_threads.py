"""The threads held by tasks that ignored a request to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobscheduler.tasks.context import Context


class LostThreads:
    """Keeps the contexts of attempts whose run has its record while their task still holds its thread.

    `on_change` is called when the number may have changed; its exceptions go to `report_error`.

    Lock: `on_change` is called on any thread, with no lock held.
    """

    def __init__(self, on_change: Callable[[], object], report_error: Callable[[Exception], object]) -> None:
        self._on_change = on_change
        self._report_error = report_error
        self._lock = threading.Lock()
        self._contexts: set[Context] = set()

    def __len__(self) -> int:
        return len(self._contexts)

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The contexts of the tasks that hold these threads."""
        with self._lock:
            return tuple(self._contexts)

    def add(self, context: Context) -> None:
        """Count the thread of a task that did not stop."""
        with self._lock:
            self._contexts.add(context)

    def discard(self, context: Context) -> None:
        """Count the thread no more, because its task has returned."""
        with self._lock:
            self._contexts.discard(context)

    def report_change(self) -> None:
        """Report that the number may have changed."""
        try:
            self._on_change()
        except Exception as error:  # must end neither the timer thread nor a worker
            self._report_error(error)
