"""What other threads signal to the thread of the database, and what they wait for."""

from __future__ import annotations

import threading


class ReloadSignals:
    """The signals of one reloader. `closing` is set when the service ends.

    Thread: any.
    """

    def __init__(self) -> None:
        self.closing = threading.Event()
        self._woken = threading.Event()
        self._has_tried = threading.Event()
        self._sync_allowed = threading.Event()
        self._is_answered = threading.Event()
        self._is_wanted = False

    def request(self) -> None:
        """Ask for a reload soon, without a request in the database."""
        self._is_wanted = True
        self._woken.set()

    def request_and_wait(self, seconds: float) -> bool:
        """Ask for a reload, and wait at most so long until one is over that began since; return whether it is."""
        self._is_answered.clear()
        self.request()
        return self._is_answered.wait(seconds)

    def note_round(self) -> None:
        """Note that a round is over: what was asked for before it has been done, unless it was put back."""
        if not self._is_wanted:
            self._is_answered.set()

    def take_request(self) -> bool:
        """Return whether a reload was asked for, and forget that."""
        is_wanted, self._is_wanted = self._is_wanted, False
        return is_wanted

    def put_back_request(self) -> None:
        """Remember a reload that failed, for the next round. Wakes nothing."""
        self._is_wanted = True

    def sleep(self, seconds: float) -> bool:
        """Wait so long; return True at once when a reload was asked for or the service ends."""
        return self._woken.wait(seconds)

    def end_sleep(self) -> None:
        """Forget that a reload was asked for while the thread slept: it is awake."""
        self._woken.clear()

    def note_tried(self) -> None:
        """Note that the database was read, or that a try has failed."""
        self._has_tried.set()

    def wait_tried(self, seconds: float) -> bool:
        """Wait until the database was read or a try has failed; return False after so many seconds."""
        return self._has_tried.wait(seconds)

    def allow_sync(self) -> None:
        """Allow changes of the schedule from now on."""
        self._sync_allowed.set()

    def is_sync_allowed(self) -> bool:
        """Return whether the schedule may be changed."""
        return self._sync_allowed.is_set()

    def wait_allowed(self) -> bool:
        """Wait until the schedule may be changed; return False if the service ends."""
        self._sync_allowed.wait()
        return not self.closing.is_set()

    def close(self) -> None:
        """End every wait: the service ends."""
        self.closing.set()
        self._woken.set()
        self._is_answered.set()
        self._sync_allowed.set()
