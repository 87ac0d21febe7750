"""Count for how long jobs are without a success, and find those that have become overdue.

1. The time is counted by a clock that is never set.
2. It stands still while the job is held: paused, disabled or not in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobscheduler.model import Job
from jobscheduler.model.standing import Standing
from jobscheduler.status.standing_table import StandingTable

HOLD_CHECK_S = 5.0  # seconds between two checks which jobs are held
LOG_PRECISION_S = 1.0  # seconds by which a time that the log has kept may be too short

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class OverdueJob:
    """A job that has just become overdue, since `since`. `within` is its `success_within` in seconds.

    `success` is the time of its last success, if that is known.
    """

    job_id: str
    since: datetime
    within: float
    success: datetime | None


class SuccessDeadlines:
    """The jobs with `success_within`, and when the next of them may be overdue.

    Lock: that of the table. `count` and `stop` are called with it held.
    """

    def __init__(self, table: StandingTable, elapsed: Callable[[], float]) -> None:
        """`elapsed` returns seconds of a clock that is never set."""
        self._table = table
        self._elapsed = elapsed
        self._within: dict[str, float] = {}
        self._next_due = self._next_hold_check = 0.0

    def count(self, standing: Standing, job: Job, within: float, in_force: datetime, now: datetime) -> Standing:
        """Count the time of a job from its last success, else from when it came into force; return how it stands."""
        self._within[job.id] = within
        self._next_due = self._next_hold_check = 0.0
        up = self._elapsed()
        waited = standing.without_success(up)
        if waited is None:
            since = self._table.successes.get(job.id) or in_force
            return replace(standing, counted_from=up - max(0.0, (now - since).total_seconds()))
        is_longer = waited < within - LOG_PRECISION_S
        return replace(standing, overdue_since=None) if is_longer else standing

    def stop(self, job_id: str) -> None:
        """Count the time of a job no more."""
        self._within.pop(job_id, None)

    def look_again(self) -> None:
        """Have the next check look at all jobs: the time of one counts again."""
        self._next_due = 0.0

    def check(self, now: datetime, is_held: Callable[[str], bool]) -> list[OverdueJob]:
        """Return the jobs that have become overdue, each once. Call it about once a second.

        `is_held` returns whether the time of a job does not count at present; it must not wait.
        """
        up = self._elapsed()
        if up >= self._next_hold_check and self._within:
            self._next_hold_check = up + HOLD_CHECK_S
            self._hold([(job_id, is_held(job_id)) for job_id in tuple(self._within)], up)
        return self._overdue(now, up) if up >= self._next_due else []

    def _hold(self, jobs: Iterable[tuple[str, bool]], up: float) -> None:
        """Stop counting the time of jobs that are held, and go on with that of the others."""
        table = self._table
        with table.lock:
            for job_id, is_held in jobs:
                standing = table.of(job_id)
                if standing.counted_from is None or is_held == (standing.held_at is not None):
                    continue
                if standing.held_at is None:
                    table.set(job_id, replace(standing, held_at=up))
                else:
                    counted_from = standing.counted_from + up - standing.held_at
                    table.set(job_id, replace(standing, counted_from=counted_from, held_at=None))
                    self._next_due = 0.0

    def _overdue(self, now: datetime, up: float) -> list[OverdueJob]:
        """Find the jobs whose time is over, and note when the next one's will be: a success only makes that later.

        All jobs are looked through without the lock, which observers of records wait for.
        """
        self._next_due = next_due = _NEVER
        overdue: list[OverdueJob] = []
        for job_id, within in tuple(self._within.items()):
            waited = self._open_wait(job_id, up)
            if waited is not None and waited >= within:
                overdue += self._become_overdue(job_id, within, now, up)
            elif waited is not None:
                next_due = min(next_due, up + within - waited)
        self._next_due = min(self._next_due, next_due)
        return overdue

    def _open_wait(self, job_id: str, up: float) -> float | None:
        """Return for how many seconds a job is without success, None if it is held, overdue already or not counted."""
        standing = self._table.of(job_id)
        is_open = standing.overdue_since is None and standing.held_at is None
        return standing.without_success(up) if is_open else None

    def _become_overdue(self, job_id: str, within: float, now: datetime, up: float) -> list[OverdueJob]:
        with self._table.lock:
            waited = self._open_wait(job_id, up)
            if waited is None or waited < within:
                return []  # it has just succeeded
            since = now - timedelta(seconds=waited - within)
            self._table.set(job_id, replace(self._table.of(job_id), overdue_since=since, alerted_at=up))
        return [OverdueJob(job_id, since, within, self._table.successes.get(job_id))]
