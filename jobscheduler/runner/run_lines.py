"""What the log says about one run: its events, and its one record."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Event, Job, Level, LogFields, Record, ResourceUse, Status
from jobscheduler.runner.attempt_result import AttemptResult
from jobscheduler.runner.outputs import tail
from jobscheduler.runner.stop_fields import STOPPED, stopped_fields
from jobscheduler.runner.unkillable_processes import add_unkillable
from jobscheduler.tasks import UnkillableProcess


class RunLines:
    """Makes the lines of one run, and keeps what they say of it: its beginning, its use, and who stopped it.

    `extra` goes into all its lines. `clock` returns the time of a line.

    Lock: the run's, for all but `event`.
    """

    __slots__ = (
        "_began",
        "_clock",
        "_stopped_by",
        "_use",
        "extra",
        "job",
        "record",
        "run_id",
        "scheduled",
        "started_at",
    )

    def __init__(
        self, job: Job, run_id: str, scheduled: datetime | None, extra: LogFields, clock: Callable[[], datetime]
    ) -> None:
        self.job = job
        self.run_id = run_id
        self.scheduled = scheduled
        self.extra = extra
        self.started_at: datetime | None = None
        self.record: Record | None = None
        self._clock = clock
        self._began = 0.0
        self._use: ResourceUse | None = None
        self._stopped_by: str | None = None

    def begin(self) -> None:
        """Note that the run begins now."""
        self.started_at = self._clock()
        self._began = time.monotonic()

    def add_use(self, use: ResourceUse | None) -> None:
        """Add what an attempt has used, if that is known."""
        if use is not None:
            self._use = use.with_earlier(self._use)

    def stopped_by(self, by: str | None) -> None:
        """Note the person who stopped the run. The first one counts."""
        self._stopped_by = self._stopped_by or by

    def event(self, level: Level, name: str, values: LogFields) -> Event:
        """Return an event about this run."""
        slot: LogFields = () if self.scheduled is None else (("scheduled", self.scheduled),)
        identity: LogFields = (("job_id", self.job.id), ("run_id", self.run_id), *slot, *self.extra)
        return Event(self._clock(), level, name, (*identity, *values))

    def failed_attempt(self, attempt: int, failure: AttemptResult, seconds: float, delay: float) -> Event:
        """Return the event of an attempt that failed after so many seconds, and is followed by one after `delay`."""
        values: LogFields = (
            ("attempt", attempt),
            ("duration", round(seconds, 3)),
            ("reason", failure.reason or ""),
            *failure.details,
            ("retry_in", round(delay, 3)),
            *(() if failure.use is None else failure.use.fields()),
            *((("output", tail(failure.output)),) if failure.output else ()),
        )
        return self.event(Level.WARNING, "run.attempt_failed", values)

    def end(self, result: AttemptResult, count: int, unkillable: tuple[UnkillableProcess, ...] = ()) -> Record:
        """Make the record of a run that ends with this result after `count` attempts, and keep it."""
        attempts: LogFields = (("attempts", count),) if count > 1 else ()
        details = add_unkillable(result.details, unkillable) if unkillable else result.details
        use = self._use
        is_stopped = result.reason == STOPPED and self._stopped_by is not None
        extra = stopped_fields(self.extra, self._stopped_by or "") if is_stopped else self.extra
        self.record = Record(
            at=self._clock(),
            status=Status.SUCCESS if result.reason is None else Status.FAILURE,
            job_id=self.job.id,
            run_id=self.run_id,
            scheduled=self.scheduled,
            started=self.started_at,
            duration=round(time.monotonic() - self._began, 3) if self.started_at else None,
            reason=result.reason,
            details=(*extra, *attempts, *details),
            output=tail(result.output) if result.reason is not None and result.output else None,
            cpu=None if use is None else round(use.cpu, 3),
            max_rss=None if use is None else use.max_rss,
            job=self.job,
        )
        return self.record
