"""The second source of a service: a database with jobs, the reloads that it asks for, and its copy of the log.

What needs the extra is imported only here, and only when a database was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from jobscheduler.config import Settings
from jobscheduler.database import DatabaseConfigError, load_url
from jobscheduler.model import Checkpoint, EventLogger, Level, Problem
from jobscheduler.service.startup import StartupError

if TYPE_CHECKING:
    from jobscheduler.database.reloader import Reloader

FIRST_READ_WAIT_S = 10.0
"""How long a start waits for the database, in seconds; then it goes on with what jobs there are."""

_POLL_S = 0.1  # seconds between two looks whether the service is to end meanwhile


class DatabaseJobs:
    """A database as the second source. Entered before the log, so that it gets the log's last line too.

    Raises `CannotStart` when made if it cannot be used as it was asked for.
    """

    def __init__(self, url: str, interval: float, keep: tuple[float, float]) -> None:
        from jobscheduler.database.engine import Database  # noqa: PLC0415 - an extra
        from jobscheduler.database.log_copy import LogCopier  # noqa: PLC0415
        from jobscheduler.database.source import DatabaseSource  # noqa: PLC0415

        try:
            self._database = Database(url)
        except DatabaseConfigError as cannot:
            raise StartupError(cannot.problem) from None
        self._interval = interval
        self._keep = keep
        self._reloader: Reloader | None = None
        self._is_known = False
        self.source = DatabaseSource()
        self.log_copier = LogCopier(self._database)

    def __str__(self) -> str:
        """Where it is, with nothing secret."""
        return str(self._database)

    def start(
        self, stack: ExitStack, look: Callable[[], None], log_event: EventLogger, *, is_ending: Callable[[], bool]
    ) -> None:
        """Begin to read it, and wait a moment for that.

        Raises:
            CannotStart: another service has it.

        """
        from jobscheduler.database.reloader import Reloader  # noqa: PLC0415 - an extra

        def look_and_know() -> None:
            look()
            self._is_known = True

        reloader = Reloader(
            self._database, self.source, look_and_know, log_event, interval=self._interval, keep=self._keep
        )
        self._reloader = stack.enter_context(reloader)
        until = time.monotonic() + FIRST_READ_WAIT_S
        while not reloader.wait_first_read(_POLL_S) and not is_ending() and time.monotonic() < until:
            pass
        if reloader.lock_holder is not None:
            raise StartupError(Problem(str(reloader.lock_holder), help=reloader.lock_holder.help))
        self.log_copier.log_event = log_event
        exposure = self._database.exposure()
        if exposure is not None:
            log_event(Level.WARNING, "database.exposed", problem=exposure.message, help=exposure.help)
        self._is_known = self.source.is_read  # the first pass is to come, and no mark is written before it

    def allow_sync(self) -> None:
        """Let it change the schedule: the first pass is over."""
        if self._reloader is not None:
            self._reloader.allow_sync()

    def reload(self) -> None:
        """Have it read soon, though no marker asks for it."""
        if self._reloader is not None:
            self._reloader.reload()

    def issues(self) -> tuple[str, ...]:
        """Say in words what is wrong with it, beside that it is lost."""
        return () if self._reloader is None else self._reloader.issues()

    def report_unsent(self) -> None:
        """Say how many lines its copy of the log lacks; one more line is to come after that."""
        self.log_copier.report_unsent(further=1)

    def checkpoint_gate(self, write: Callable[[Checkpoint], object]) -> Callable[[Checkpoint], object]:
        """Return what writes marks only once its jobs are known.

        A mark says that every slot before it is accounted for, and of jobs that are not known yet that cannot be said:
        the next start, or the moment in which they are read, has to find the time before this start open.
        """

        def write_if_known(mark: Checkpoint) -> None:
            if self._is_known:
                write(mark)

        return write_if_known


def open_database(settings: Settings) -> DatabaseJobs | None:
    """Return the database that was asked for, None if none was.

    Raises:
        CannotStart: it cannot be used as it was asked for.

    """
    try:
        url = load_url(settings.database_url, settings.database_url_file)
    except DatabaseConfigError as cannot:
        raise StartupError(cannot.problem) from None
    keep = settings.keep_log_rows, settings.keep_markers
    return None if url is None else DatabaseJobs(url, settings.reload_interval, keep)
