"""The writer's calls of the log file, any of which may hang: another thread then takes the writer's place.

1. The writer makes each call inline, and only notes that it is in it: nothing is handed to another thread.
2. `look`, from another thread, gives a call up when it is the same one as at a look `PATIENCE` before. A lock decides
   between that and the end of the call: exactly one of the two comes first.
3. A writer whose call was given up and comes back leaves the result here and gets `Relieved`: it has to end, without
   touching anything, since another writer has taken its place.
4. The new writer makes no call until the former one has come back. Then it takes that result, so that nothing is
   written twice, and no line is torn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

CALL_TIMEOUT_S = 0.9
"""How long a call may go on before its thread is given up, in seconds."""


class Superseded(Exception):
    """The call was given up, and its thread with it: another one writes now."""


class _Call:
    """A call that goes on. `written` is what it returned: how many bytes were appended, 0 for other calls."""

    __slots__ = ("has_ended", "written")

    def __init__(self) -> None:
        self.has_ended = False
        self.written = 0


class FileCalls:
    """Makes calls of the file, for one writer at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: _Call | None = None
        self._given_up: _Call | None = None
        self._checked_at: tuple[_Call | None, float] = (None, 0.0)

    def call(self, function: Callable[[], int | None]) -> int:
        """Make a call, on the writer's thread; return how many bytes it appended.

        Raises:
            Relieved: it was given up meanwhile.
            OSError: what it raises.

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
            call.has_ended = True
        raise Superseded

    def check(self, now: float) -> bool:
        """Give up the present call if it is that of a look `PATIENCE` before `now`; tell whether it was.

        To be called again and again (monotonic seconds).
        """
        with self._lock:
            going, (seen, since) = self._current, self._checked_at
            if going is None or going is not seen:
                self._checked_at = going, now
                return False
            if now - since < CALL_TIMEOUT_S:
                return False
            self._current, self._given_up = None, going
            return True

    def is_active(self) -> bool:
        """Tell whether a call is being made at this moment."""
        return self._current is not None

    def is_silent(self) -> bool:
        """Tell whether a call was given up of which the result was not taken yet."""
        return self._given_up is not None

    def take_over(self) -> int | None:
        """Take the result of the call that was given up: the bytes it appended; None if it has not come back."""
        call = self._given_up
        if call is None:
            return 0
        with self._lock:
            if not call.has_ended:
                return None
        self._given_up = None
        return call.written
