"""Messages to the main thread: signals, and requests of other threads."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from queue import Empty, SimpleQueue


class Message(StrEnum):
    """A message; one that stands for a signal has the signal's name."""

    TERMINATE = "SIGTERM"
    INTERRUPT = "SIGINT"
    RELOAD = "SIGHUP"
    SETTLE = "settle"  # an item settles soon, or the file thread has failed
    CHECK_DIRECTORY = "check directory"  # the watcher has lost events
    HUNG_CALL_ENDED = "hung call ended"  # a file or directory answers again
    LOG_FILE_BEGUN = "log file begun"  # a checkpoint is needed at its head

    @property
    def ends_service(self) -> bool:
        """Whether the message orders the service to end."""
        return self in {Message.TERMINATE, Message.INTERRUPT}


class Mailbox:
    """Messages for the main thread. Any thread may put one, and so may a signal handler; the main thread takes them.

    A message that is queued already is not queued again, so a storm of SIGHUPs is one reload. Messages that end the
    service go before all others, and each of them counts: the second is an order to hurry.
    """

    def __init__(self) -> None:
        self._arrived: SimpleQueue[Message] = SimpleQueue()
        self._stops: deque[Message] = deque()
        self._waiting: dict[Message, None] = {}
        self._is_ending = False

    def put(self, message: Message) -> None:
        """Queue a message. Never waits and takes no lock."""
        if message.ends_service:
            self._is_ending = True
            self._stops.append(message)
        self._arrived.put(message)

    def take(self, timeout: float) -> Message | None:
        """Wait up to `timeout` seconds for a message; return None if there is none by then, or at times before."""
        while not self._arrived.empty():  # no other thread takes any
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

    def _note(self, message: Message) -> None:
        if not message.ends_service:
            self._waiting[message] = None

    def is_stopping(self) -> bool:
        """Return whether a message that ends the service is queued."""
        return bool(self._stops)

    def is_ending(self) -> bool:
        """Return whether a message that ends the service has ever come, even if it was taken since."""
        return self._is_ending

    def take_stop(self) -> bool:
        """Take one message that ends the service; return whether there was one."""
        if not self._stops:
            return False
        self._stops.popleft()
        return True
