"""Read the table of jobs when a request asks for it, and apply the changes to the schedule.

Everything happens on one thread, one step after another, so reloads never overlap and no other thread waits for the
database. After a failure the requests stay as they are, and are tried again at growing intervals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from jobscheduler.database import queries
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.clock_skew import ClockSkew
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, translate_errors
from jobscheduler.database.lock_holder import DatabaseInUse, current_holder
from jobscheduler.database.retention import Retention
from jobscheduler.database.service_lock import CHECK_INTERVAL_S, FileLock, ServerLock
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.tables import VERSION
from jobscheduler.database.unfinished_requests import UnfinishedRequests
from jobscheduler.model import EventLogger, Level

MAX_BACKOFF_S = 60.0  # seconds, the longest pause after failures, unless the interval is longer

RETENTION = 30 * 86400.0  # seconds that log rows and completed requests are kept by default

SILENT = 3.0  # seconds without an answer until `status` reports that the database does not answer

SHUTDOWN_WAIT_S = 2.0  # seconds that a shutdown waits for a database that does not answer


class _SyncFailed(Exception):
    """The changes of the source could not be applied to the schedule."""


class Reloader:
    """Keep a source up to date with its database. As a context manager it runs its thread.

    `look` applies the source to the schedule, and raises if that fails. `interval` is in seconds.
    """

    def __init__(
        self,
        database: Database,
        source: DatabaseSource,
        look: Callable[[], None],
        log_event: EventLogger,
        *,
        interval: float,
        keep: tuple[float, float] = (RETENTION, RETENTION),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`keep` are the seconds for which log rows and completed requests are kept."""
        self._database = database
        self._source = source
        self._sync = look
        self._log_event = log_event
        self._interval = interval
        self._now = now
        self._polling = CachedConnection(database, database.polling, self._open)
        self._version = VERSION
        me = current_holder()
        self._closing = threading.Event()
        self._lock = ServerLock(me, closing=self._closing)
        self._asked_at: float | None = None
        self._file_lock = None if database.file is None else FileLock(database.file, me)
        self._clock_skew = ClockSkew(log_event, now)
        self._requests = UnfinishedRequests(database, log_event, now)
        self._retention = Retention(database, log_event, *keep, now)
        self.lock_holder: DatabaseInUse | None = None
        self._has_yielded = False
        self._failures = 0
        self._reported_fault = False
        self._tried_at = threading.Event()
        self._sync_allowed = threading.Event()
        self._is_wanted = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._woken.set()
        self._sync_allowed.set()
        self._thread.join(SHUTDOWN_WAIT_S)
        if self._file_lock is not None:
            self._file_lock.release()

    def wait_first_read(self, seconds: float) -> bool:
        """Wait until the database was read or a try failed; return False after so many seconds."""
        return self._tried_at.wait(seconds)

    def allow_sync(self) -> None:
        """Allow changes of the schedule from now on: the first sync is over."""
        self._sync_allowed.set()

    def reload(self) -> None:
        """Read the table soon without a request in the database: a user asked the service itself."""
        self._is_wanted = True
        self._woken.set()

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong with the database, apart from its loss.

        Thread: any.
        """
        in_use = f"{self.lock_holder}; its jobs do not run here" if self.lock_holder else None
        unguarded = self._file_lock.problem if self._file_lock is not None else None
        issues = (in_use, self._silence(), self._requests.problem(), self._clock_skew.problem(), unguarded)
        return tuple(issue for issue in issues if issue is not None)

    def _silence(self) -> str | None:
        """Return for how long the last question to the database has had no answer, None below `SILENT`."""
        asked_at = self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        if waited < SILENT:
            return None
        return f"the database has not answered for {waited:.0f} s; jobs go on as they were last read"

    # -- on the reloader's thread

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._poll_once()
                self._failures = 0
                self._retention.step()
            except DatabaseInUse as in_use:
                self._yield_to_holder(in_use)
            except _SyncFailed as error:
                self._log_fault(str(error))
                self._count()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as exception:
                self._fail(f"{type(exception).__name__}: {exception}")
            self._tried_at.set()
            self._asked_at = None
            self._rest()
            self._woken.clear()
        with suppress(Exception):
            self._lock.release(self._version)
        self._polling.drop()

    def _rest(self) -> None:
        """Wait for the next round, and keep the lock meanwhile."""
        deadline = time.monotonic() + self._pause()
        while (left := deadline - time.monotonic()) > 0 and not self._woken.wait(min(left, CHECK_INTERVAL_S)):
            if left > CHECK_INTERVAL_S and self._source.is_read and self.lock_holder is None:
                self._tend()

    def _tend(self) -> None:
        """Ensure that the lock is held: take it again after its connection broke, or give way to another service."""
        self._asked_at = time.monotonic()
        try:
            self._confirm()
        except DatabaseInUse as in_use:
            self._yield_to_holder(in_use)
        except Unavailable as reason:
            self._polling.drop()
            self._source.set_unavailable(str(reason), reason.help)
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")
        self._asked_at = None

    def _confirm(self) -> None:
        """Confirm the lock; if its connection broke since the last question, reconnect first."""
        was_open = self._polling.is_open
        try:
            self._hold()
        except Unavailable as reason:
            self._polling.drop()
            if not was_open or reason.is_silent:
                raise
            self._hold()

    def _hold(self) -> None:
        if self._file_lock is not None:
            self._database.identity()
            self._file_lock.acquire()
            return
        was_open = self._polling.is_open
        self._lock.confirm(self._polling.get(), self._version)
        if not was_open and self._failures == 0:
            self._source.set_available()

    def _pause(self) -> float:
        return max(self._interval, min(self._interval * 2.0**self._failures, MAX_BACKOFF_S))

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._polling.drop()
        self._requests.reset()
        self._count()
        self._source.set_unavailable(problem, help_)

    def _count(self) -> None:
        self._failures = min(self._failures + 1, 30)

    def _poll_once(self) -> None:
        """Check whether a reload is requested, and perform it."""
        self._asked_at = time.monotonic()
        wanted, self._is_wanted = self._is_wanted or self.lock_holder is not None, False
        try:
            is_requested = self._is_asked()
            if not self._source.is_read or wanted or is_requested:
                self._reload(is_wanted=wanted)
            elif self._requests.is_due():
                self._complete(())
        except BaseException:
            self._is_wanted |= wanted
            raise
        if self._has_yielded:
            self._log_event(Level.INFO, "database.regained")
        self.lock_holder, self._has_yielded = None, False
        self._source.set_available()

    def _is_asked(self) -> bool:
        """Check for requests; if the connection broke since the last question, reconnect and ask once more."""
        was_open = self._polling.is_open
        try:
            return self._take_request()
        except Unavailable as reason:
            self._polling.drop()
            if not was_open or reason.is_silent:
                raise
        return self._take_request()

    def _take_request(self) -> bool:
        if not self._polling.is_open:
            self._check_trust()
        if self._file_lock is not None:
            self._database.identity()  # raises if the file is missing: then there is nothing to lock
            self._file_lock.acquire()
        connection = self._polling.get()
        self._lock.acquire(connection, self._version)
        with translate_errors():
            return bool(self._requests.new_requests(queries.pending_reloads(connection)))

    def _open(self, _: Connection, version: int) -> None:
        """Store the version of the tables; log once that an older version lacks something."""
        if version < VERSION <= self._version:
            problem = f"the tables have version {version}, and this service knows version {VERSION}"
            help_ = "they are used as they are; `jobscheduler db init` adds what is new"
            self._log_event(Level.WARNING, "database.outdated", problem=problem, help=help_)
        self._version = version

    def _yield_to_holder(self, in_use: DatabaseInUse) -> None:
        """Leave the jobs to another service, which took the database while this one could not reach it."""
        self._polling.drop()
        self._count()
        self.lock_holder = in_use
        if not self._sync_allowed.is_set():
            return  # the service is still starting, and gives up
        if not self._source.is_read:
            self._source.set_unavailable(str(in_use), in_use.help)
            return
        if self._has_yielded:
            return
        self._log_event(Level.ERROR, "database.taken", problem=str(in_use), help=in_use.help)
        self._source.update(())
        try:
            self._apply()
        except _SyncFailed as error:
            self._log_fault(str(error))
            return
        self._has_yielded = True

    def _reload(self, *, is_wanted: bool) -> None:
        """Read requests and jobs in one consistent state, apply the jobs, then complete exactly those requests."""
        started = time.monotonic()
        self._check_trust()
        with self._database.reading() as connection:
            queries.check_version(connection)
            self._clock_skew.compare(lambda: queries.read_server(connection).now)
            markers, rows = queries.pending_reloads(connection), queries.select_all(connection)
        is_first = not self._source.is_read
        changed = self._source.update(rows, self._clock_skew.ahead)
        self._tried_at.set()
        self._asked_at = None
        self._sync_allowed.wait()
        if self._closing.is_set():
            return
        self._apply()
        unmade = self._requests.new_requests(markers)
        self._complete(markers)
        if unmade or is_first or is_wanted:
            seconds = time.monotonic() - started
            self._log_event(
                Level.INFO,
                "database.reloaded",
                markers=len(unmade),
                jobs=len(rows),
                changed=changed,
                took=seconds,
            )

    def _complete(self, markers: Sequence[int]) -> None:
        """Mark requests as done.

        A failure does not count as a lost database as long as the database can be read.
        """
        try:
            self._requests.complete(markers)
        except Unavailable as reason:
            self._polling.drop()
            self._take_request()
            self._requests.fail(reason)

    def _check_trust(self) -> None:
        problem = self._database.trust_problem()
        if problem is not None:
            raise Unavailable(problem.message, problem.help)

    def _apply(self) -> None:
        """Apply the source to the schedule; a failure of that is not reported as one of the database."""
        try:
            self._sync()
        except Exception as error:
            raise _SyncFailed(f"the reload failed: {type(error).__name__}: {error}") from None
        self._reported_fault = False

    def _log_fault(self, problem: str) -> None:
        """Log a failed reload once, until one succeeds again."""
        if not self._reported_fault:
            self._log_event(Level.ERROR, "database.reload_failed", problem=problem)
        self._reported_fault = True
