"""The queue between the observer of the log and the thread that decides about alerts."""

from __future__ import annotations

from queue import SimpleQueue
from typing import NamedTuple

from jobscheduler.alerts.rules import AlertKind
from jobscheduler.model import Record
from jobscheduler.model.standing import Standing

MAX_QUEUED_RECORDS = 100_000  # further ones are only counted


class News(NamedTuple):
    """A change that may need an alert, and how the job stood then. Without a kind the thread finds that out."""

    job_id: str
    kind: AlertKind | None
    standing: Standing
    record: Record | None = None


class NewsQueue:
    """A bounded queue. Thread: any may put; one takes."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News | None] = SimpleQueue()
        self._dropped = 0  # news that the full queue did not take, since `take_dropped`

    def put(self, news: News) -> None:
        """Queue news, or count them if the queue is full. Never wait."""
        if self._queue.qsize() < MAX_QUEUED_RECORDS:
            self._queue.put(news)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Let the queue end behind what is in it."""
        self._queue.put(None)

    def get(self, timeout: float | None) -> News | None:
        """Take the next news; None at the end of the queue. Raises: `queue.Empty` after `timeout` seconds without."""
        return self._queue.get(timeout=timeout)

    def is_empty(self) -> bool:
        """Return whether all news were taken."""
        return self._queue.empty()

    def take_dropped(self) -> int:
        """Return how many news were dropped, and count from 0 again."""
        dropped, self._dropped = self._dropped, 0
        return dropped
