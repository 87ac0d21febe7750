"""How one job stands by its records: failures in a row, and the time without a success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from jobscheduler.model.entries import Status

# Reasons of FAILURE and MISSED that say nothing about the job: a person or the service ended its run or its slot.
UNCOUNTED_REASONS = frozenset({"shutdown", "stopped", "replaced", "deleted", "disabled"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands. Instants are those of records; numbers of seconds are of a clock that is never set (uptime).

    - `failures`, `misses`: FAILURE and MISSED records since its last success.
    - `failed_since`, `missed_since`: when the first of each was.
    - `is_failing`: they have reached the number at which its rule has an alert.
    - `alerted_at`: when it last had an alert about a failure or about being overdue; None after a success.
    - `counted_from`: from when its time without success counts; `held_at`: since when it does not, as it is paused.
    - `overdue_since`: since when it is overdue.
    """

    failures: int = 0
    failed_since: datetime | None = None
    misses: int = 0
    missed_since: datetime | None = None
    is_failing: bool = False
    alerted_at: float | None = None
    counted_from: float | None = None
    held_at: float | None = None
    overdue_since: datetime | None = None

    def streak(self, *, with_missed: bool) -> tuple[int, datetime | None]:
        """Return the number of failures in a row, and the time of the first; `with_missed` MISSED records count."""
        if not with_missed or not self.misses:
            return self.failures, self.failed_since
        first = [at for at in (self.failed_since, self.missed_since) if at is not None]
        return self.failures + self.misses, min(first, default=None)

    def without_success(self, now: float) -> float | None:
        """Return the seconds without success that count up to `now` (uptime); None if they are not counted."""
        if self.counted_from is None:
            return None
        return (now if self.held_at is None else self.held_at) - self.counted_from


NO_STANDING = Standing()


@dataclass(frozen=True, slots=True)
class ResultState:
    """How jobs stand, as a checkpoint has it: those that need it, and the last success of each."""

    standings: Mapping[str, Standing] = field(default_factory=dict)
    successes: Mapping[str, datetime] = field(default_factory=dict)


NO_RESULTS = ResultState()


@dataclass(frozen=True, slots=True)
class LoggedResult:
    """A line of the log after its last checkpoint that changes how a job stands.

    `word` is the status of a record, or the name of an event: `job.overdue`, `job.removed`, or that of an alert.
    `reason` is that of the record, or the kind of the alert.
    """

    job_id: str
    word: str
    at: datetime
    reason: str | None = None


def counts_as_result(status: Status, reason: str | None) -> bool:
    """Return whether a record says how the job stands. A skipped slot does not, nor what a person or a stop ended."""
    return status is not Status.SKIPPED and (status is Status.SUCCESS or reason not in UNCOUNTED_REASONS)


def is_failure(status: Status, reason: str | None) -> bool:
    """Return whether a run failed by itself, ended by neither a person nor the service."""
    return status is Status.FAILURE and reason not in UNCOUNTED_REASONS
