"""Limit how many large answers are open at once, so that clients that do not read theirs cannot fill the memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WAITING_OF_USER = 8  # large answers of one user that may wait to be read at once


class AnswerQueue:
    """Limit the large answers of each user; further requests of that user wait.

    Thread: any.
    """

    def __init__(self, most: int = MAX_WAITING_OF_USER) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._users: dict[int, threading.Semaphore] = {}

    @contextmanager
    def turn(self, user: int, seconds: float) -> Iterator[bool]:
        """Wait for a turn, and hold it until the context ends; yield False if there is none within so many seconds."""
        with self._lock:
            semaphore = self._users.setdefault(user, threading.Semaphore(self._most))
        if not semaphore.acquire(timeout=seconds):
            yield False
            return
        try:
            yield True
        finally:
            semaphore.release()
