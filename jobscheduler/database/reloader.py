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
from jobscheduler.database.cached_connection import Kept
from jobscheduler.database.clock_skew import Clocks
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable, told
from jobscheduler.database.lock_holder import Taken, this_process
from jobscheduler.database.retention import Retention
from jobscheduler.database.service_lock import TEND, FileLock, ServerLock
from jobscheduler.database.source import DatabaseSource
from jobscheduler.database.tables import VERSION
from jobscheduler.database.unfinished_requests import Requests
from jobscheduler.model import Level, Tell

LONGEST = 60.0
"""The longest pause after failures, in seconds, unless the interval is longer."""

KEEP = 30 * 86400.0
"""How long lines and requests that are done are kept, in seconds, unless it is said."""

SILENT = 3.0
"""After how many seconds without an answer it is said in `status` that the database does not answer."""

ENDING = 2.0
"""How long the end waits for a database that does not answer, in seconds."""


class _PassFailed(Exception):
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
        tell: Tell,
        *,
        interval: float,
        keep: tuple[float, float] = (KEEP, KEEP),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`keep` is how long lines and requests that are done are kept, in seconds."""
        self._database = database
        self._source = source
        self._look = look
        self._tell = tell
        self._interval = interval
        self._now = now
        self._polling = Kept(database, database.polling, self._opened)
        self._version = VERSION
        me = this_process()
        self._closing = threading.Event()
        self._lock = ServerLock(me, closing=self._closing)
        self._asked_at: float | None = None
        self._file_lock = None if database.file is None else FileLock(database.file, me)
        self._clocks = Clocks(tell, now)
        self._requests = Requests(database, tell, now)
        self._retention = Retention(database, tell, *keep, now)
        self.taken: Taken | None = None
        self._has_given_way = False
        self._failures = 0
        self._told_fault = False
        self._tried = threading.Event()
        self._may_look = threading.Event()
        self._is_wanted = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closing.set()
        self._woken.set()
        self._may_look.set()
        self._thread.join(ENDING)
        if self._file_lock is not None:
            self._file_lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait until the database has been read, or could not be, for so long at most; tell whether that is so."""
        return self._tried.wait(seconds)

    def begin(self) -> None:
        """Let the schedule be changed from now on: the first pass is over."""
        self._may_look.set()

    def reload(self) -> None:
        """Have the table read soon, though no marker asks for it: somebody has asked the service itself."""
        self._is_wanted = True
        self._woken.set()

    def troubles(self) -> tuple[str, ...]:
        """Say what is wrong with the database beside that it is lost; any thread may ask."""
        taken = f"{self.taken}; its jobs do not run here" if self.taken else None
        unguarded = self._file_lock.problem if self._file_lock is not None else None
        found = (taken, self._silence(), self._requests.problem(), self._clocks.problem(), unguarded)
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
                self._turn()
                self._failures = 0
                self._retention.step()
            except Taken as taken:
                self._give_way(taken)
            except _PassFailed as failed:
                self._tell_fault(str(failed))
                self._count()
            except Unavailable as reason:
                self._fail(str(reason), reason.help)
            except Exception as fault:
                self._fail(f"{type(fault).__name__}: {fault}")
            self._tried.set()
            self._asked_at = None
            self._rest()
            self._woken.clear()
        with suppress(Exception):
            self._lock.release(self._version)
        self._polling.drop()

    def _rest(self) -> None:
        """Wait for the next turn, and tend the lock meanwhile."""
        until = time.monotonic() + self._pause()
        while (left := until - time.monotonic()) > 0 and not self._woken.wait(min(left, TEND)):
            if left > TEND and self._source.is_read and self.taken is None:
                self._tend()

    def _tend(self) -> None:
        """Make sure that the lock is held; take it again after its connection broke, or give way."""
        self._asked_at = time.monotonic()
        try:
            self._confirm()
        except Taken as taken:
            self._give_way(taken)
        except Unavailable as reason:
            self._polling.drop()
            self._source.lose(str(reason), reason.help)
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
            self._file_lock.take()
            return
        was_open = self._polling.is_open
        self._lock.confirm(self._polling.get(), self._version)
        if not was_open and self._failures == 0:
            self._source.find()

    def _pause(self) -> float:
        return max(self._interval, min(self._interval * 2.0**self._failures, LONGEST))

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._polling.drop()
        self._requests.forget()
        self._count()
        self._source.lose(problem, help_)

    def _count(self) -> None:
        self._failures = min(self._failures + 1, 30)

    def _turn(self) -> None:
        """See whether a reload is asked for, and make it."""
        self._asked_at = time.monotonic()
        wanted, self._is_wanted = self._is_wanted or self.taken is not None, False
        try:
            is_asked = self._is_asked()
            if not self._source.is_read or wanted or is_asked:
                self._reload(is_wanted=wanted)
            elif self._requests.is_due():
                self._mark(())
        except BaseException:
            self._is_wanted |= wanted
            raise
        if self._has_given_way:
            self._tell(Level.INFO, "database.regained")
        self.taken, self._has_given_way = None, False
        self._source.find()

    def _is_asked(self) -> bool:
        """Ask for markers; a connection that broke since the last question is no more than a reason for a new one."""
        was_open = self._polling.is_open
        try:
            return self._ask()
        except Unavailable as reason:
            self._polling.drop()
            if not was_open or reason.is_silent:
                raise
        return self._ask()

    def _ask(self) -> bool:
        if not self._polling.is_open:
            self._check_trust()
        if self._file_lock is not None:
            self._database.identity()  # where there is no database there is nothing to lock
            self._file_lock.take()
        connection = self._polling.get()
        self._lock.take(connection, self._version)
        with told():
            return bool(self._requests.unmade(queries.pending(connection)))

    def _opened(self, _: Connection, version: int) -> None:
        """Take note of the version of the tables; one that lacks something is told once."""
        if version < VERSION <= self._version:
            problem = f"the tables have version {version}, and this service knows version {VERSION}"
            help_ = "they are used as they are; `jobscheduler db init` adds what is new"
            self._tell(Level.WARNING, "database.outdated", problem=problem, help=help_)
        self._version = version

    def _give_way(self, taken: Taken) -> None:
        """Let another service have the jobs, as it took the database while this one could not reach it."""
        self._polling.drop()
        self._count()
        self.taken = taken
        if not self._may_look.is_set():
            return  # the start ends
        if not self._source.is_read:
            self._source.lose(str(taken), taken.help)
            return
        if self._has_given_way:
            return
        self._tell(Level.ERROR, "database.taken", problem=str(taken), help=taken.help)
        self._source.take(())
        try:
            self._apply()
        except _PassFailed as failed:
            self._tell_fault(str(failed))
            return
        self._has_given_way = True

    def _reload(self, *, is_wanted: bool) -> None:
        """Read markers and jobs as they were at one moment, apply the jobs, then mark those markers and no others."""
        began = time.monotonic()
        self._check_trust()
        with self._database.reading() as connection:
            queries.check_version(connection)
            self._clocks.compare(lambda: queries.server_of(connection).now)
            markers, found = queries.pending(connection), queries.all_rows(connection)
        is_first = not self._source.is_read
        changed = self._source.take(found, self._clocks.ahead)
        self._tried.set()
        self._asked_at = None
        self._may_look.wait()
        if self._closing.is_set():
            return
        self._apply()
        unmade = self._requests.unmade(markers)
        self._mark(markers)
        if unmade or is_first or is_wanted:
            took = time.monotonic() - began
            self._tell(
                Level.INFO, "database.reloaded", markers=len(unmade), jobs=len(found), changed=changed, took=took
            )

    def _mark(self, markers: Sequence[int]) -> None:
        """Mark requests as done; that they cannot be, while the database can be read, is no loss of it."""
        try:
            self._requests.mark(markers)
        except Unavailable as reason:
            self._polling.drop()
            self._ask()
            self._requests.fail(reason)

    def _check_trust(self) -> None:
        distrust = self._database.distrust()
        if distrust is not None:
            raise Unavailable(distrust.message, distrust.help)

    def _apply(self) -> None:
        """Bring the schedule in line; what goes wrong with that is not the database's fault."""
        try:
            self._look()
        except Exception as fault:
            raise _PassFailed(f"the reload failed: {type(fault).__name__}: {fault}") from None
        self._told_fault = False

    def _tell_fault(self, problem: str) -> None:
        """Say it once, until it works again."""
        if not self._told_fault:
            self._tell(Level.ERROR, "database.reload_failed", problem=problem)
        self._told_fault = True
