"""The copy of the log's lines in a table: from a bounded queue, in batches, on a thread and a connection of its own.

Nobody waits for it. While the database is away, lines are kept as far as the queue goes; those beyond are counted, and
told when it is back. A line may stand there twice if the connection broke just as its batch was taken.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

from sqlalchemy import insert

from jobscheduler.database.connecting import Database, Unavailable, told
from jobscheduler.database.kept import Kept
from jobscheduler.database.tables import SYSLOG
from jobscheduler.model import Entry, Event, Level, Record, Status, Tell, Value

QUEUE = 20_000
"""How many lines are kept for the table at most."""

KEPT = 16 * 1024 * 1024
"""How many bytes these lines may have together."""

BATCH = 500
"""How many lines are written at once at most."""

GATHER = 0.2
"""How long the first line of a batch waits for others, in seconds."""

LONGEST = 30.0
"""The longest pause after failures, in seconds."""

ENDING = 3.0
"""How long the end waits for a database that takes nothing, in seconds."""

_LEVELS = {Status.SUCCESS: "INFO", Status.SKIPPED: "INFO", Status.MISSED: "WARNING", Status.FAILURE: "ERROR"}


class Syslog:
    """Copies lines into `jm_syslog`. A context manager: leaving it writes what is waiting, if the database takes it."""

    def __init__(self, database: Database, *, queue: int = QUEUE, now: Callable[[], float] = time.monotonic) -> None:
        """`queue` is how many lines are kept; `tell` may be set later, and says what happens to the copy."""
        self._most = queue
        self._now = now
        self.tell: Tell = _say_nothing
        self._waiting: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = self._missed = 0
        self._is_lost = False
        self._failures = 0
        self._changed = threading.Condition()
        self._closing = False
        self._until = 0.0
        self._connection = Kept(database, database.connected)
        self._thread = threading.Thread(target=self._work, name="syslog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._changed:
            self._closing, self._until = True, self._now() + ENDING
            self._changed.notify()
        self._thread.join(ENDING + 0.5)

    def take_leave(self) -> None:
        """Say how many lines the table lacks, if the database takes none, and nothing more: the service is to end.

        It counts what it was given: the log has to have caught up before.
        """
        tell, self.tell = self.tell, _say_nothing
        with self._changed:
            missed = len(self._waiting) + self._missed if self._is_lost else 0
        if missed:
            problem = "the service ends before the database is back"
            tell(Level.WARNING, "database.log_lost", problem=problem, lines_not_kept=missed + 1)

    def put(self, entry: Entry, line: bytes) -> None:
        """Take a line; never waits for the database."""
        with self._changed:
            if len(self._waiting) >= self._most or self._bytes + len(line) > KEPT:
                self._missed += 1
                return
            self._waiting.append((values_of(entry, line), len(line)))
            self._bytes += len(line)
            if len(self._waiting) == 1:
                self._changed.notify()

    # -- on its thread

    def _work(self) -> None:
        while self._has_work():
            try:
                self._write()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as fault:  # not of the database: the thread has to go on
                self._fail(f"{type(fault).__name__}: {fault}")
            else:
                self._restore()
        self._connection.drop()

    def _has_work(self) -> bool:
        """Wait for lines, and after a failure for its pause as well; False when it is to end and nothing is left."""
        with self._changed:
            pause = min(2.0**self._failures / 2, LONGEST) if self._failures else GATHER
            self._changed.wait_for(lambda: self._closing or self._waiting)
            self._changed.wait_for(lambda: self._closing, timeout=pause)
            if self._closing and self._failures and self._waiting:
                self._changed.wait(min(GATHER, max(0.0, self._until - self._now())))
            return bool(self._waiting and (not self._closing or self._now() < self._until)) or not self._closing

    def _write(self) -> None:
        """Write one batch. What is there stays until the database has it."""
        with self._changed:
            batch = [values for values, _ in islice(self._waiting, BATCH)]
        if batch:
            connection = self._connection.get()
            with told(), connection.begin():
                connection.execute(insert(SYSLOG), batch)
        with self._changed:
            for _ in batch:
                self._bytes -= self._waiting.popleft()[1]

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._connection.drop()
        self._failures = min(self._failures + 1, 20)
        if not self._is_lost and self._failures > 1:  # a server that was restarted takes the very next try
            self._is_lost = True
            self.tell(Level.WARNING, "database.log_lost", problem=problem, help=help_)

    def _restore(self) -> None:
        self._failures = 0
        with self._changed:
            missed, self._missed = self._missed, 0
        if self._is_lost or missed:
            self._is_lost = False
            self.tell(Level.WARNING if missed else Level.INFO, "database.log_restored", lines_not_kept=missed)


def values_of(entry: Entry, line: bytes) -> dict[str, Any]:
    """Return the row of a line: records have the level that they would have in a program's log."""
    at: datetime = entry.at if entry.at.tzinfo else entry.at.replace(tzinfo=UTC)
    message = line.decode("utf-8", "replace").rstrip("\n")
    if isinstance(entry, Record):
        return {"created_at": at, "level": _LEVELS[entry.status], "logger_name": "record", "message": message}
    assert isinstance(entry, Event)  # noqa: S101 - there is nothing else
    return {"created_at": at, "level": entry.level.value, "logger_name": entry.name[:128], "message": message}


def _say_nothing(level: Level, name: str, /, **values: Value | None) -> None:
    """Stand in until there is a log."""
