"""Make the writer's calls of the log file. Any of them may hang: then another thread replaces the writer.

1. The writer makes each call inline, and only notes that it is in it: nothing is handed to another thread.
2. `check`, on another thread, gives a call up if it is the same one as at a check `CALL_TIMEOUT_S` before. A lock
   decides between that and the end of the call: exactly one of the two comes first.
3. A writer whose call was given up stores its result here when the call returns, and gets `Superseded`: it must end
   without touching anything, since another writer has replaced it.
4. The new writer makes no call until the old one has returned. Then it takes that result, so that nothing is written
   twice and no line is torn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CALL_TIMEOUT_S = 0.9  # seconds until a call, and its thread, are given up
NO_ANSWER = "it does not answer"  # why lines are lost while a call hangs, as the log says it


class Superseded(Exception):
    """The call and its thread were given up: another thread writes now."""


class _Call:
    """A call in progress. `written` is its result: how many bytes were appended, 0 for other calls.

    `returned` is made when the call is given up, and set when it has returned.
    """

    __slots__ = ("returned", "written")

    def __init__(self) -> None:
        self.returned: threading.Event | None = None
        self.written = 0


class FileCalls:
    """Make calls of the file, for one writer at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: _Call | None = None
        self._given_up: _Call | None = None
        self._checked_at: tuple[_Call | None, float] = (None, 0.0)
        self._patient_until = 0.0

    def call(self, function: Callable[[], int | None]) -> int:
        """Make a call, and return how many bytes it appended.

        Thread: the writer's.

        Raises:
            Superseded: the call was given up meanwhile.
            OSError: the error of the call.

        """
        call = self._current = _Call()
        try:
            call.written = function() or 0
        finally:
            self._finish(call)
        return call.written

    def _finish(self, call: _Call) -> None:
        with self._lock:
            if self._current is call:
                self._current = None
                return
            if call.returned is not None:
                call.returned.set()
        raise Superseded

    def be_patient(self, until: float) -> None:
        """Give no call up before `until` (monotonic seconds): nothing else has to go on meanwhile."""
        self._patient_until = until

    def check(self, now: float) -> bool:
        """Give up the present call if a check `CALL_TIMEOUT_S` before `now` already saw it; return whether it was.

        Call it regularly (monotonic seconds).
        """
        with self._lock:
            current, (checked, since) = self._current, self._checked_at
            if current is None or current is not checked:
                self._checked_at = current, now
                return False
            if now - since < CALL_TIMEOUT_S or now < self._patient_until:
                return False
            current.returned = threading.Event()
            self._current, self._given_up = None, current
            return True

    def is_active(self) -> bool:
        """Return whether a call is in progress."""
        return self._current is not None

    def is_silent(self) -> bool:
        """Return whether a call was given up whose result was not taken yet."""
        return self._given_up is not None

    def take_over(self) -> int | None:
        """Take the result of the call that was given up: the bytes it appended; None if it has not returned."""
        call = self._given_up
        if call is None:
            return 0
        if not _has_returned(call, 0.0):
            return None
        self._given_up = None
        return call.written

    def wait_for_return(self) -> None:
        """Wait until the call that was given up has returned, if there is one, as long as this is patient."""
        call = self._given_up
        if call is not None:
            _has_returned(call, max(0.0, self._patient_until - time.monotonic()))


def _has_returned(call: _Call, seconds: float) -> bool:
    """Wait up to `seconds` until a call that was given up has returned, and tell whether it has."""
    return call.returned is not None and call.returned.wait(seconds)
