"""Limit how many large answers are open at once, so that clients that do not read theirs cannot fill the memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

MAX_WAITING_OF_USER = 8  # large answers of one user that may wait to be read at once


class AnswerQueue:
    """Limit the large answers of each user; further requests of that user wait.

    Thread: any.
    """

    def __init__(self, most: int = MAX_WAITING_OF_USER) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._users: dict[str, threading.Semaphore] = {}

    def acquire(self, user: str, seconds: float) -> threading.Semaphore | None:
        """Wait for a turn; return the semaphore to release after the answer, or None after so many seconds."""
        with self._lock:
            semaphore = self._users.setdefault(user, threading.Semaphore(self._most))
        return semaphore if semaphore.acquire(timeout=seconds) else None


class QueuedBody:
    """The body of a large answer.

    The server calls `close` when it has sent the body, or when the client has left.
    """

    def __init__(self, body: bytes, turn: threading.Semaphore) -> None:
        self._body = body
        self._release: threading.Semaphore | None = turn

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    def close(self) -> None:
        """Release the turn, once."""
        turn, self._release = self._release, None
        self._body = b""
        if turn is not None:
            turn.release()
