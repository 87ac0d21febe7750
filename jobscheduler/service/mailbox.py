"""What others have for the main thread: signals, and that something has to settle, to be tended or to be marked."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue

STOPS = frozenset({"SIGTERM", "SIGINT"})
"""The messages that end the service."""


class Mailbox:
    """Messages for the main thread, which takes them; any thread may put one, and so may a signal's handler.

    One that waits already is not put a second time, so a storm of SIGHUPs is one reload. Those that end the service go
    before all others, and each of them counts: the second is an order to hurry.
    """

    def __init__(self) -> None:
        self._arrived: SimpleQueue[str] = SimpleQueue()
        self._stops: deque[str] = deque()
        self._waiting: dict[str, None] = {}
        self._is_ending = False

    def put(self, message: str) -> None:
        """Leave a message. Never waits, takes no lock."""
        if message in STOPS:
            self._is_ending = True
            self._stops.append(message)
        self._arrived.put(message)

    def take(self, timeout: float) -> str | None:
        """Wait for a message, so many seconds at most; None if there is none by then, or at times before."""
        while not self._arrived.empty():  # nobody else takes any
            self._note(self._arrived.get_nowait())
        if not self._stops and not self._waiting:
            try:
                self._note(self._arrived.get(timeout=timeout))
            except Empty:
                return None
        if self._stops:
            return self._stops.popleft()
        message = next(iter(self._waiting), None)
        if message is not None:
            del self._waiting[message]
        return message

    def _note(self, message: str) -> None:
        if message not in STOPS:
            self._waiting[message] = None

    def is_stopping(self) -> bool:
        """Tell whether a message that ends the service waits to be taken."""
        return bool(self._stops)

    def is_ending(self) -> bool:
        """Tell whether a message that ends the service has come, be it taken or not."""
        return self._is_ending

    def take_stop(self) -> bool:
        """Take one that ends the service, if there is one; tell whether there was."""
        if not self._stops:
            return False
        self._stops.popleft()
        return True
