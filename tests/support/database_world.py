"""A reconciler on a directory and on a database, with the thread that reads the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from jobscheduler.database import queries
from jobscheduler.database.engine import Database
from jobscheduler.database.reloader import Reloader
from jobscheduler.database.source import DatabaseSource
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Level, LogValue
from tests.host.test_database import RULES, table_of
from tests.support.databases import Place
from tests.support.service import wait_until
from tests.unit.test_reconciler import FakeSchedule

INTERVAL = 0.05  # seconds between two polls


class DatabaseWorld:
    """A directory and a database, one reconciler on both, and the thread that reads the database."""

    def __init__(
        self,
        base: Path,
        place: Place,
        *,
        reader: Database | None = None,
        interval: float = INTERVAL,
        decides: Callable[[], bool] | None = None,
    ) -> None:
        """`reader` is the database as the reloader may use it, with the account of another user.

        `decides` is for a node of a cluster: it returns whether it leads.
        """
        self.place = place
        self.directory = base / "jobs.d"
        self.directory.mkdir()
        self.base = base
        self.table = table_of(place)
        self.schedule = FakeSchedule()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.database = reader or Database(place.url)
        self.source = DatabaseSource()
        self.reconciler = Reconciler(
            [DirectorySource(self.directory), self.source], self.schedule, RULES, self.log_event
        )
        self.during: Callable[[], object] = lambda: None
        self.reloader = Reloader(
            self.database, self.source, self.sync, self.log_event, interval=interval, decides=decides
        )
        self.syncs = 0

    def log_event(self, level: Level, name: str, /, **values: LogValue | None) -> None:
        """Note an event."""
        self.events.append((name, {key: value for key, value in values.items() if value is not None}))

    def words(self, name: str) -> list[dict[str, Any]]:
        """Return the values of all events of this name."""
        return [values for word, values in self.events if word == name]

    def sync(self) -> None:
        """Apply the sources to the schedule, as a reload does."""
        self.syncs += 1
        self.during()
        self.reconciler.sync_items(())

    @contextmanager
    def running(self, *, wait: bool = True) -> Iterator[Self]:
        """Run it in this context, as the service does."""
        try:
            yield self.start(wait=wait)
        finally:
            self.end()

    def end(self) -> None:
        """End its thread."""
        self.reloader.__exit__(None, None, None)

    def start(self, *, wait: bool = True) -> Self:
        """Start as the service does; wait until the first reload is over."""
        self.reloader.__enter__()
        self.reloader.wait_first_read(10)
        self.reconciler.verify_sources()
        self.reloader.allow_sync()
        if wait:
            wait_until(lambda: self.words("database.reloaded"))
        return self

    def write(self, name: str, definition: Any) -> None:
        """Put a file into the directory, and sync it."""
        (self.base / "t").write_text(json.dumps(definition))
        (self.base / "t").rename(self.directory / name)
        self.reconciler.sync_items([name])

    def pending(self) -> list[int]:
        """Return the requests that are not done."""
        with self.table.database.reading() as connection:
            return queries.pending_reloads(connection)

    def reloaded(self) -> None:
        """Wait until every request is done."""
        wait_until(lambda: not self.pending(), why=f"all markers are done; {self.events[-5:]}")

    def ids(self) -> list[str]:
        """Return the ids of the active jobs."""
        return sorted(self.schedule.jobs)
