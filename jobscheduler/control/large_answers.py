"""Turns for large answers, so that memory does not grow with the number of clients that do not read theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

MAX_WAITING_OF_USER = 8  # large answers that wait to be read at once by one user


class AnswerQueue:
    """Lets each user have so many large answers at once; further requests of that user wait. For any thread."""

    def __init__(self, most: int = MAX_WAITING_OF_USER) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._users: dict[str, threading.Semaphore] = {}

    def acquire(self, user: str, seconds: float) -> threading.Semaphore | None:
        """Wait for a turn; return what has to be released after it, None if it did not come in time."""
        with self._lock:
            turns = self._users.setdefault(user, threading.Semaphore(self._most))
        return turns if turns.acquire(timeout=seconds) else None


class QueuedBody:
    """The body of an answer, for a server that calls `close` when it has been sent or the client has left."""

    def __init__(self, body: bytes, turn: threading.Semaphore) -> None:
        self._body = body
        self._release: threading.Semaphore | None = turn

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    def close(self) -> None:
        """Give the turn back, once."""
        turn, self._release = self._release, None
        self._body = b""
        if turn is not None:
            turn.release()
