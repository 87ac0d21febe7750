"""The request that an attempt stops: its reason, its instant, and what is to be called because of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from jobscheduler.tasks.stop_signals import StopSignals


class StopRequest:
    """Whether one attempt has to stop, since when and why.

    `at` is the instant of `time.monotonic()` of the first request, None before. `reason` is that of the first request.
    `signals` holds the signals that a task with processes has sent since. Together they show whether a time limit is
    kept.

    Thread: any.
    """

    __slots__ = ("_callbacks", "_event", "_lock", "at", "is_made", "reason", "signals")

    def __init__(self) -> None:
        self.is_made = False
        self.at: float | None = None
        self.reason: str | None = None
        self.signals = StopSignals()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._event: threading.Event | None = None

    @property
    def event(self) -> threading.Event:
        """An event that is set once the request is made. Made on first use: most tasks never need it."""
        with self._lock:
            if self._event is None:
                self._event = threading.Event()
                if self.is_made:
                    self._event.set()
            return self._event

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the request is made, or at once if it was already."""
        with self._lock:
            if not self.is_made:
                self._callbacks.append(callback)
                return
        callback()

    def forget_callbacks(self) -> None:
        """Forget the callbacks, and with them what the task has in memory."""
        with self._lock:
            self._callbacks.clear()

    def missing_signal(self, now: float) -> str | None:
        """Return `TERM` or `KILL` if it should have been sent by `now` (monotonic seconds) but was not; else None."""
        return None if self.at is None else self.signals.missing(self.at, now)

    def make(self, reason: str, report_error: Callable[[Exception], object]) -> None:
        """Make the request, and have all callbacks called without waiting for them. A second request does nothing.

        All callbacks are called, even if one raises. `report_error` gets their exceptions as one `ExceptionGroup`, on
        the thread of the callbacks.
        """
        with self._lock:
            if self.is_made:
                return
            self.reason = reason
            self.at = time.monotonic()
            self.is_made = True
            callbacks = tuple(self._callbacks)
            if self._event is not None:
                self._event.set()
        if callbacks:
            _run_in_thread(partial(_call_each, callbacks, report_error))


def _run_in_thread(work: Callable[[], None]) -> None:
    """Do `work` on a thread of its own, because the caller also serves the limits or slots of all other runs.

    If the host has no thread left, do it here: late limits are better than a run without an end.
    """
    try:
        threading.Thread(target=work, name="stopping", daemon=True).start()
    except RuntimeError:
        work()


def _call_each(callbacks: Iterable[Callable[[], None]], report_error: Callable[[Exception], object]) -> None:
    raised: list[Exception] = []
    for callback in callbacks:
        try:
            callback()
        except Exception as error:
            raised.append(error)
    if raised:
        report_error(ExceptionGroup("callbacks of on_stop failed", raised))
