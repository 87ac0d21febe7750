"""Requests for a reload that were performed but cannot be marked as done: the database can be read and not written.

The jobs are active then. That is logged once, reading goes on at its interval, and marking is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from jobscheduler.database import queries
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.backoff import Backoff

FIRST_BACKOFF_S = 0.5  # seconds, doubled with each failure

MAX_BACKOFF_S = 60.0  # seconds, the longest pause between two tries to mark requests


class UnfinishedRequests:
    """Mark requests as done.

    Thread: one; `problem` for any.
    """

    def __init__(
        self,
        database: Database,
        log_event: EventLogger,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._log_event = log_event
        self._now = now
        self._monotonic = monotonic
        self._unfinished: set[int] = set()
        self._backoff = Backoff(FIRST_BACKOFF_S, MAX_BACKOFF_S)
        self._next = 0.0
        self._reason: str | None = None

    def new_requests(self, pending: Iterable[int]) -> list[int]:
        """Return the pending requests whose reload has not been performed yet."""
        requests = list(pending)
        self._unfinished &= set(requests)
        return [marker for marker in requests if marker not in self._unfinished]

    def complete(self, markers: Sequence[int]) -> None:
        """Mark requests as done, with those that could not be marked before.

        Raises:
            Unavailable: they cannot be marked, and stay owed. The caller calls `fail` if everything else works.

        """
        self._unfinished.update(markers)
        if self._unfinished:
            with self._database.writing() as connection:
                queries.complete_reloads(connection, sorted(self._unfinished), self._now())
        self._unfinished.clear()
        self._backoff.reset()
        if self._reason is not None:
            self._reason = None
            self._log_event(Level.INFO, "database.writable")

    def fail(self, reason: Unavailable) -> None:
        """Note that requests cannot be marked though the database can be read; log it once."""
        self._backoff.fail()
        self._next = self._monotonic() + self._backoff.pause()
        if self._reason is None:
            self._log_event(Level.ERROR, "database.read_only", problem=f"{_MESSAGE}: {reason}", help=_HELP)
        self._reason = str(reason)

    def is_due(self) -> bool:
        """Return whether requests are to be marked, and it is time to try."""
        return bool(self._unfinished) and self._monotonic() >= self._next

    def reset(self) -> None:
        """Forget which requests were performed, so that they are performed again.

        The connection was lost, and the database may be another one.
        """
        self._unfinished.clear()

    def problem(self) -> str | None:
        """Return why requests cannot be marked; None if they can."""
        return f"{_MESSAGE}: {self._reason}" if self._reason else None


_MESSAGE = "the database can be read and not written; requests cannot be marked as done"
_HELP = "the jobs are active; the service needs UPDATE on `jm_update_info`, and a server that is not read-only"
