"""Knows since when the database of a cluster is away, and says so when that begins and when it is over.

Several threads ask the database, each on a connection of its own. It is away while any of them gets no answer.
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
    """Since when the database does not answer, and why."""

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
        self._silent: set[str] = set()
        self._away: Away | None = None

    @property
    def away(self) -> Away | None:
        """Since when the database is away; None while it answers."""
        return self._away

    def note(self, asker: str, reason: Unavailable | None) -> None:
        """Note whether a thread has got an answer: None, or why it has not."""
        with self._lock:
            was_away = bool(self._silent)
            if reason is None:
                self._silent.discard(asker)
            else:
                self._silent.add(asker)
            if was_away == bool(self._silent):
                return
            self._away = None if reason is None else Away(self._now(), str(reason), reason.help)
            if reason is None:
                self._log_event(Level.INFO, "cluster.restored", database=self.name)
            else:
                self._log_event(
                    Level.WARNING, "cluster.unavailable", database=self.name, problem=str(reason), help=reason.help
                )
