"""Knows since when the database of a cluster is away, and says so when that begins and when it is over.

Several threads ask the database, each on a connection of its own. It is away while any of them gets no answer. The
reason is the latest one: after a server that does not answer there may be a right or a table that is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.database.errors import Unavailable
from jobscheduler.model import EventLogger, Level
from jobscheduler.util.instants import utc_now


@dataclass(frozen=True, slots=True)
class Away:
    """Since when the database does not answer, and why by now."""

    since: datetime
    problem: str
    help: str | None


class DatabaseWatch:
    """What the threads of a node have heard of the database. Thread: any. Lock: its own, a leaf."""

    def __init__(self, name: str, log_event: EventLogger, now: Callable[[], datetime] = utc_now) -> None:
        """`name` is the URL without its secrets."""
        self.name = name
        self._log_event = log_event
        self._now = now
        self._lock = threading.Lock()
        self._silent: dict[str, Unavailable] = {}  # by asker, the latest last
        self._away: Away | None = None

    @property
    def away(self) -> Away | None:
        """Since when the database is away; None while it answers."""
        return self._away

    def note(self, asker: str, reason: Unavailable | None) -> None:
        """Note whether a thread has got an answer: None, or why it has not."""
        with self._lock:
            self._silent.pop(asker, None)
            if reason is not None:
                self._silent[asker] = reason
            before, self._away = self._away, self._described()
            if before is None and self._away is not None:
                problem, help_ = self._away.problem, self._away.help
                self._log_event(Level.WARNING, "cluster.unavailable", database=self.name, problem=problem, help=help_)
            elif before is not None and self._away is None:
                self._log_event(Level.INFO, "cluster.restored", database=self.name)

    def _described(self) -> Away | None:
        if not self._silent:
            return None
        latest = list(self._silent.values())[-1]
        return Away(self._now() if self._away is None else self._away.since, str(latest), latest.help)
