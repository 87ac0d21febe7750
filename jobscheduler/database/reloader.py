"""Reloads: when a marker asks for one, the table of jobs is read and the schedule brought in line with it.

All of it happens on one thread, one thing after the other, so that reloads never overlap and nobody waits for the
database. Whatever fails leaves the markers as they are, and is tried again, later and later.
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

MAX_BACKOFF_S = 60.0
"""The longest pause after failures, in seconds, unless the interval is longer."""

RETENTION = 30 * 86400.0
"""How long lines and requests that are done are kept, in seconds, unless it is said."""

SILENT = 3.0
"""After how many seconds without an answer it is said in `status` that the database does not answer."""

SHUTDOWN_WAIT_S = 2.0
"""How long the end waits for a database that does not answer, in seconds."""


class _SyncFailed(Exception):
    """The schedule could not be brought in line with the source."""


class Reloader:
    """Keeps a source in line with its database. A context manager: its thread runs while it is entered.

    `look` brings the schedule in line with the source, and raises if it could not. `interval` is in seconds.
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
        """`keep` is how long lines and requests that are done are kept, in seconds."""
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
        """Wait until the database has been read, or could not be, for so long at most; tell whether that is so."""
        return self._tried_at.wait(seconds)

    def allow_sync(self) -> None:
        """Let the schedule be changed from now on: the first pass is over."""
        self._sync_allowed.set()

    def reload(self) -> None:
        """Have the table read soon, though no marker asks for it: somebody has asked the service itself."""
        self._is_wanted = True
        self._woken.set()

    def issues(self) -> tuple[str, ...]:
        """Say what is wrong with the database beside that it is lost; any thread may ask."""
        taken = f"{self.lock_holder}; its jobs do not run here" if self.lock_holder else None
        unguarded = self._file_lock.problem if self._file_lock is not None else None
        found = (taken, self._silence(), self._requests.problem(), self._clock_skew.problem(), unguarded)
        return tuple(one for one in found if one is not None)

    def _silence(self) -> str | None:
        """Say that a question to the database has had no answer yet, and for how long."""
        asked_at = self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        if waited < SILENT:
            return None
        return f"the database has not answered for {waited:.0f} s; jobs go on as they were last read"

    # -- on its thread

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._poll_once()
                self._failures = 0
                self._retention.step()
            except DatabaseInUse as taken:
                self._yield_to_holder(taken)
            except _SyncFailed as failed:
                self._log_fault(str(failed))
                self._count()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as fault:
                self._fail(f"{type(fault).__name__}: {fault}")
            self._tried_at.set()
            self._asked_at = None
            self._rest()
            self._woken.clear()
        with suppress(Exception):
            self._lock.release(self._version)
        self._polling.drop()

    def _rest(self) -> None:
        """Wait for the next turn, and tend the lock meanwhile."""
        until = time.monotonic() + self._pause()
        while (left := until - time.monotonic()) > 0 and not self._woken.wait(min(left, CHECK_INTERVAL_S)):
            if left > CHECK_INTERVAL_S and self._source.is_read and self.lock_holder is None:
                self._tend()

    def _tend(self) -> None:
        """Make sure that the lock is held; take it again after its connection broke, or give way."""
        self._asked_at = time.monotonic()
        try:
            self._confirm()
        except DatabaseInUse as taken:
            self._yield_to_holder(taken)
        except Unavailable as reason:
            self._polling.drop()
            self._source.set_unavailable(str(reason), reason.help)
        except Exception as fault:
            self._fail(f"{type(fault).__name__}: {fault}")
        self._asked_at = None

    def _confirm(self) -> None:
        """Ask for the lock; a connection that broke since the last question is made anew first."""
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
        """See whether a reload is asked for, and make it."""
        self._asked_at = time.monotonic()
        wanted, self._is_wanted = self._is_wanted or self.lock_holder is not None, False
        try:
            is_asked = self._is_asked()
            if not self._source.is_read or wanted or is_asked:
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
        """Ask for markers; a connection that broke since the last question is no more than a reason for a new one."""
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
            self._database.identity()  # where there is no database there is nothing to lock
            self._file_lock.acquire()
        connection = self._polling.get()
        self._lock.acquire(connection, self._version)
        with translate_errors():
            return bool(self._requests.new_requests(queries.pending_reloads(connection)))

    def _open(self, _: Connection, version: int) -> None:
        """Take note of the version of the tables; one that lacks something is told once."""
        if version < VERSION <= self._version:
            problem = f"the tables have version {version}, and this service knows version {VERSION}"
            help_ = "they are used as they are; `jobscheduler db init` adds what is new"
            self._log_event(Level.WARNING, "database.outdated", problem=problem, help=help_)
        self._version = version

    def _yield_to_holder(self, taken: DatabaseInUse) -> None:
        """Let another service have the jobs, as it took the database while this one could not reach it."""
        self._polling.drop()
        self._count()
        self.lock_holder = taken
        if not self._sync_allowed.is_set():
            return  # the start ends
        if not self._source.is_read:
            self._source.set_unavailable(str(taken), taken.help)
            return
        if self._has_yielded:
            return
        self._log_event(Level.ERROR, "database.taken", problem=str(taken), help=taken.help)
        self._source.update(())
        try:
            self._apply()
        except _SyncFailed as failed:
            self._log_fault(str(failed))
            return
        self._has_yielded = True

    def _reload(self, *, is_wanted: bool) -> None:
        """Read markers and jobs as they were at one moment, apply the jobs, then mark those markers and no others."""
        began = time.monotonic()
        self._check_trust()
        with self._database.reading() as connection:
            queries.check_version(connection)
            self._clock_skew.compare(lambda: queries.read_server(connection).now)
            markers, found = queries.pending_reloads(connection), queries.select_all(connection)
        is_first = not self._source.is_read
        changed = self._source.update(found, self._clock_skew.ahead)
        self._tried_at.set()
        self._asked_at = None
        self._sync_allowed.wait()
        if self._closing.is_set():
            return
        self._apply()
        unmade = self._requests.new_requests(markers)
        self._complete(markers)
        if unmade or is_first or is_wanted:
            took = time.monotonic() - began
            self._log_event(
                Level.INFO, "database.reloaded", markers=len(unmade), jobs=len(found), changed=changed, took=took
            )

    def _complete(self, markers: Sequence[int]) -> None:
        """Mark requests as done; that they cannot be, while the database can be read, is no loss of it."""
        try:
            self._requests.complete(markers)
        except Unavailable as reason:
            self._polling.drop()
            self._take_request()
            self._requests.fail(reason)

    def _check_trust(self) -> None:
        distrust = self._database.trust_problem()
        if distrust is not None:
            raise Unavailable(distrust.message, distrust.help)

    def _apply(self) -> None:
        """Bring the schedule in line; what goes wrong with that is not the database's fault."""
        try:
            self._sync()
        except Exception as fault:
            raise _SyncFailed(f"the reload failed: {type(fault).__name__}: {fault}") from None
        self._reported_fault = False

    def _log_fault(self, problem: str) -> None:
        """Say it once, until it works again."""
        if not self._reported_fault:
            self._log_event(Level.ERROR, "database.reload_failed", problem=problem)
        self._reported_fault = True
