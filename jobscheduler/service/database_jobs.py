"""The database of a service: a second source of jobs, with reloads on request and a copy of the log.

Only this module imports what needs the extra, and only when the settings name a database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from jobscheduler.config import Settings
from jobscheduler.database import DatabaseConfigError, load_url
from jobscheduler.jobs.sources import Source
from jobscheduler.model import Checkpoint, EventLogger, Level, Problem
from jobscheduler.runlog import LogWriter
from jobscheduler.service.errors import StartupError

if TYPE_CHECKING:
    from jobscheduler.database.engine import Database
    from jobscheduler.database.log_copy import LogCopier
    from jobscheduler.database.reloader import Reloader

FIRST_READ_WAIT_S = 10.0  # limit of a start's wait for the database; then it goes on with the jobs that are known
REFRESH_WAIT_S = 1.0  # limit of the wait of a node that is to lead; then it leads with the jobs that are known
_POLL_S = 0.1  # between two checks whether a signal ends the service meanwhile


class DatabaseJobs:
    """A database as the second source.

    Raises:
        StartupError: the database cannot be used as the settings ask.

    """

    def __init__(self, url: str, interval: float, keep: tuple[float, float]) -> None:
        from jobscheduler.database.engine import Database  # noqa: PLC0415 - an extra
        from jobscheduler.database.source import DatabaseSource  # noqa: PLC0415

        try:
            self._database = Database(url)
        except DatabaseConfigError as error:
            raise StartupError(error.problem) from None
        self._interval = interval
        self._keep = keep
        self._reloader: Reloader | None = None
        self._copier: LogCopier | None = None
        self._is_known = False
        self._source = DatabaseSource()
        self.sources: Sequence[Source] = (self._source,)

    def __str__(self) -> str:
        """Return the URL without its secrets."""
        return str(self._database)

    def copy_log(self, log: LogWriter, stack: ExitStack) -> None:
        """Copy the log's lines into a table. Call it before the log is entered, so that the copy gets the last line."""
        from jobscheduler.database.log_copy import LogCopier  # noqa: PLC0415 - an extra

        self._copier = stack.enter_context(LogCopier(self._database, log.event))
        log.subscribe(lines=[self._copier.put])

    def start(
        self,
        stack: ExitStack,
        sync: Callable[[], None],
        log_event: EventLogger,
        *,
        is_ending: Callable[[], bool],
        decides: Callable[[], bool] | None = None,
    ) -> None:
        """Begin to read the database, and wait up to `FIRST_READ_WAIT_S` for the first answer.

        `decides` is for a node of several that share the database: it returns whether this one leads.

        Raises:
            StartupError: another service uses the database.

        """
        reloader = stack.enter_context(self._new_reloader(sync, log_event, decides))
        self._reloader = reloader
        _wait_first_read(reloader, is_ending)
        if reloader.lock_holder is not None:
            raise StartupError(Problem(str(reloader.lock_holder), help=reloader.lock_holder.help))
        warn_if_exposed(self._database, "database.exposed", log_event)
        self._is_known = self._source.is_read  # the first sync is still to come, and no checkpoint is written before it

    def _new_reloader(
        self, sync: Callable[[], None], log_event: EventLogger, decides: Callable[[], bool] | None
    ) -> Reloader:
        from jobscheduler.database.reloader import Reloader  # noqa: PLC0415 - an extra

        def sync_and_note() -> None:
            sync()
            self._is_known = True

        return Reloader(
            self._database,
            self._source,
            sync_and_note,
            log_event,
            interval=self._interval,
            keep=self._keep,
            decides=decides,
        )

    def allow_sync(self) -> None:
        """Let the database change the schedule from now on: the first sync is over."""
        if self._reloader is not None:
            self._reloader.allow_sync()

    def refresh(self) -> None:
        """Read the database and apply its jobs, before this node leads; wait `REFRESH_WAIT_S` for it at most."""
        if self._reloader is not None:
            self._reloader.refresh(REFRESH_WAIT_S)

    def is_known(self) -> bool:
        """Return whether the database was read since the start."""
        return self._is_known

    def reload(self) -> None:
        """Read the database soon, even without a marker that asks for it."""
        if self._reloader is not None:
            self._reloader.reload()

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong with the database, in words, apart from its being unavailable."""
        return () if self._reloader is None else self._reloader.issues()

    def report_unsent(self) -> None:
        """Log how many lines the copy of the log lacks. Call it before the last line of the log."""
        if self._copier is not None:
            self._copier.report_unsent(further=1)

    def checkpoint_gate(self, write: Callable[[Checkpoint], object]) -> Callable[[Checkpoint], object]:
        """Wrap `write` so that no checkpoint is written before the database was read.

        A checkpoint says that every slot before it is accounted for. That is unknown for jobs that were not read yet:
        their first sync, or the next start, has to find the time before this start open.
        """

        def write_if_known(checkpoint: Checkpoint) -> None:
            if self._is_known:
                write(checkpoint)

        return write_if_known


class NoDatabase:
    """Stands in for the database of a service without one."""

    sources: Sequence[Source] = ()

    def __str__(self) -> str:
        """Return no URL."""
        return ""

    def copy_log(self, log: LogWriter, stack: ExitStack) -> None:
        """Copy nothing."""

    def start(
        self,
        stack: ExitStack,
        sync: Callable[[], None],
        log_event: EventLogger,
        *,
        is_ending: Callable[[], bool],
        decides: Callable[[], bool] | None = None,
    ) -> None:
        """Read nothing."""

    def allow_sync(self) -> None:
        """Change nothing."""

    def refresh(self) -> None:
        """Read nothing."""

    def is_known(self) -> bool:
        """Return True: the first sync knows all jobs."""
        return True

    def reload(self) -> None:
        """Read nothing."""

    def issues(self) -> tuple[str, ...]:
        """Return no issue."""
        return ()

    def report_unsent(self) -> None:
        """Log nothing."""

    def checkpoint_gate(self, write: Callable[[Checkpoint], object]) -> Callable[[Checkpoint], object]:
        """Return `write` itself: the first sync knows all jobs."""
        return write


class UnusableDatabase(NoDatabase):
    """Stands in for a database that cannot be used as the settings ask. Its jobs are unknown, which is not "none"."""

    def checkpoint_gate(self, write: Callable[[Checkpoint], object]) -> Callable[[Checkpoint], object]:
        """Write no checkpoint: nothing is accounted for of the jobs that the database has."""
        return lambda checkpoint: None

    def is_known(self) -> bool:
        """Return False: its jobs were never read."""
        return False


def open_database(settings: Settings) -> DatabaseJobs | NoDatabase:
    """Return the database that the settings name, if any.

    Raises:
        StartupError: the database cannot be used as the settings ask.

    """
    try:
        url = load_url(settings.database_url, settings.database_url_file)
    except DatabaseConfigError as error:
        raise StartupError(error.problem) from None
    keep = settings.keep_log_rows, settings.keep_markers
    return NoDatabase() if url is None else DatabaseJobs(url, settings.reload_interval, keep)


def warn_if_exposed(database: Database, name: str, log_event: EventLogger) -> None:
    """Log an event of this name if others could read or change the traffic to the server of a database."""
    exposure = database.exposure()
    if exposure is not None:
        log_event(Level.WARNING, name, problem=exposure.message, help=exposure.help)


def _wait_first_read(reloader: Reloader, is_ending: Callable[[], bool]) -> None:
    """Wait until the database was read or a try has failed, unless a signal ends the service."""
    deadline = time.monotonic() + FIRST_READ_WAIT_S
    while not reloader.wait_first_read(_POLL_S) and not is_ending() and time.monotonic() < deadline:
        pass
