"""Read the table of jobs when a request asks for it, and apply the changes to the schedule.

Everything happens on one thread, one step after another, so reloads never overlap and no other thread waits for the
database. After a failure the requests stay as they are, and are tried again at growing intervals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Self

from jobscheduler.database.answer_timer import AnswerTimer
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.job_reload import JobReload
from jobscheduler.database.lock_holder import DatabaseInUse
from jobscheduler.database.reload_signals import ReloadSignals
from jobscheduler.database.retention import DEFAULT_KEEP_S, Retention
from jobscheduler.database.schedule_sync import Handover, ScheduleSync, SyncFailed
from jobscheduler.database.service_lock import CHECK_INTERVAL_S, ServiceLock
from jobscheduler.database.shared_polling import SharedPolling
from jobscheduler.database.source import DatabaseSource
from jobscheduler.model import EventLogger
from jobscheduler.util.backoff import Backoff
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

MAX_BACKOFF_S = 60.0  # seconds, the longest pause after failures, unless the interval is longer

SHUTDOWN_WAIT_S = 2.0  # seconds that a shutdown waits for a database that does not answer


class Reloader:
    """Keeps a source up to date with its database. As a context manager it runs its thread."""

    def __init__(
        self,
        database: Database,
        source: DatabaseSource,
        sync: Callable[[], None],
        log_event: EventLogger,
        *,
        interval: float,
        keep: tuple[float, float] = (DEFAULT_KEEP_S, DEFAULT_KEEP_S),
        now: Callable[[], datetime] = utc_now,
        decides: Callable[[], bool] | None = None,
    ) -> None:
        """`sync` applies the source to the schedule, and raises if that fails.

        `interval` are the seconds between two polls; `keep` those for which log rows and completed requests are kept.

        `decides` is for a node of several that share the database: it returns whether this one leads. No lock is taken
        then, and the leader alone completes requests.
        """
        self._source = source
        self._signals = ReloadSignals()
        self._lock = (
            ServiceLock(database, log_event, self._signals.closing) if decides is None else SharedPolling(database)
        )
        self._schedule = ScheduleSync(sync, log_event)
        self._handover = Handover(source, self._schedule, log_event)
        self._reload = JobReload(database, source, self._lock, self._schedule, log_event, now, decides)
        self._retention = Retention(database, log_event, *keep, now)
        self._timer = AnswerTimer()
        self._backoff = Backoff(interval, MAX_BACKOFF_S)
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._signals.close()
        self._thread.join(SHUTDOWN_WAIT_S)
        self._lock.release_file()

    @property
    def lock_holder(self) -> DatabaseInUse | None:
        """The other service that holds the database, if one does."""
        return self._handover.holder

    def wait_first_read(self, seconds: float) -> bool:
        """Wait until the database was read or a try failed; return False after so many seconds."""
        return self._signals.wait_tried(seconds)

    def allow_sync(self) -> None:
        """Allow changes of the schedule from now on: the first sync is over."""
        self._signals.allow_sync()

    def reload(self) -> None:
        """Read the table soon without a request in the database: a user asked the service itself."""
        self._signals.request()

    def refresh(self, seconds: float) -> None:
        """Read the table and apply it; wait for that at most so many seconds.

        Thread: any but one that a sync waits for.
        """
        self._signals.request_and_wait(seconds)

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong with the database, apart from its loss.

        Thread: any.
        """
        in_use = f"{self.lock_holder}; its jobs do not run here" if self.lock_holder else None
        issues = (in_use, self._timer.problem(), *self._reload.problems(), self._lock.problem())
        return tuple(issue for issue in issues if issue is not None)

    # -- on the reloader's thread

    def _work(self) -> None:
        while not self._signals.closing.is_set():
            self._run_round()
            self._signals.note_round()
            self._signals.note_tried()
            self._timer.end()
            self._rest()
            self._signals.end_sleep()
        self._lock.release()

    def _run_round(self) -> None:
        """Poll once; count a failure, and report it where it belongs."""
        try:
            self._poll_once()
            self._backoff.reset()
            self._retention.step()
        except DatabaseInUse as in_use:
            self._leave_to(in_use)
        except SyncFailed as error:
            self._schedule.log_failure(error)
            self._backoff.fail()
        except Unavailable as reason:
            self._fail(str(reason), reason.help)
        except Exception as error:
            self._fail(format_error(error))

    def _poll_once(self) -> None:
        """Check whether a reload is requested, and perform it."""
        self._timer.begin()
        is_wanted = self._signals.take_request() or self.lock_holder is not None
        try:
            is_requested = self._reload.is_requested()
            if not self._source.is_read or is_wanted or is_requested:
                self._reload.run(self._may_sync, is_wanted=is_wanted)
            else:
                self._reload.mark_unfinished()
        except BaseException:
            if is_wanted:
                self._signals.put_back_request()
            raise
        self._handover.end()
        self._source.set_available()

    def _may_sync(self) -> bool:
        """Wait until the schedule may be changed; the database has answered."""
        self._signals.note_tried()
        self._timer.end()
        return self._signals.wait_allowed()

    def _rest(self) -> None:
        """Wait for the next round, and keep the lock meanwhile."""
        deadline = time.monotonic() + self._backoff.pause()
        while (left := deadline - time.monotonic()) > 0 and not self._signals.sleep(min(left, CHECK_INTERVAL_S)):
            if left > CHECK_INTERVAL_S and self._source.is_read and self.lock_holder is None:
                self._keep_lock()

    def _keep_lock(self) -> None:
        """Ensure that the lock is held: take it again after its connection broke, or give way to another service."""
        self._timer.begin()
        try:
            if self._lock.confirm() and self._backoff.failures == 0:
                self._source.set_available()
        except DatabaseInUse as in_use:
            self._leave_to(in_use)
        except Unavailable as reason:
            self._lock.drop()
            self._source.set_unavailable(str(reason), reason.help)
        except Exception as error:
            self._fail(format_error(error))
        self._timer.end()

    def _leave_to(self, in_use: DatabaseInUse) -> None:
        """Leave the jobs to another service. While this one is still starting, it gives up instead."""
        self._lock.drop()
        self._backoff.fail()
        self._handover.note_holder(in_use)
        if self._signals.is_sync_allowed():
            self._handover.leave_jobs(in_use)

    def _fail(self, problem: str, help_: str | None = None) -> None:
        self._lock.drop()
        self._reload.forget_unfinished()
        self._backoff.fail()
        self._source.set_unavailable(problem, help_)
