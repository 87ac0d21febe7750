"""Keep how each job stands: its failures in a row, and for how long it has been without a success.

1. Records change it as they are written, definitions when they are put, and time alone makes a job overdue.
2. The time without success is counted by a clock that is never set, and stands still while the job is held: paused,
   disabled or not in force.
3. Checkpoints carry it: a full one that of every job, the others what has changed since the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobscheduler.model import Job, LogEntry, Record, Status
from jobscheduler.model.standing import NO_STANDING, LoggedResult, ResultState, Standing
from jobscheduler.status.standing_changes import after_record, moved, replayed

HOLD_CHECK_S = 5.0  # between two checks which jobs are held
LOG_PRECISION_S = 1.0  # by which a time that the log has kept may be too short

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class OverdueJob:
    """A job that has just become overdue; `within` is its `success_within` in seconds."""

    job_id: str
    since: datetime
    within: float
    success: datetime | None


class Standings:
    """How every job stands. A job without a failure and without `success_within` costs one entry in a dictionary.

    Thread: any. Lock: its own, a leaf. Records are observed under the scheduler's, so a checkpoint agrees with them.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """`elapsed` returns seconds of a clock that is never set, and goes on from one start of a boot to the next."""
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._jobs: dict[str, Standing] = {}
        self._successes: dict[str, datetime] = {}
        self._in_force: dict[str, datetime] = {}
        self._within: dict[str, float] = {}
        self._undefined: set[str] = set()  # jobs that the log alone knows
        self._changed: set[str] = set()  # jobs that the next checkpoint names
        self._next_due = self._next_hold_check = 0.0

    # -- what is known

    def of(self, job_id: str) -> Standing:
        """Return how a job stands."""
        return self._jobs.get(job_id, NO_STANDING)

    def last_success(self, job_id: str) -> datetime | None:
        """Return the time of a job's last success that is known."""
        return self._successes.get(job_id)

    def in_force_since(self, job_id: str) -> datetime | None:
        """Return when a job came into force."""
        return self._in_force.get(job_id)

    # -- records

    def observe(self, entry: LogEntry) -> None:
        """Take a record, or the removal of a job, as it is written."""
        if isinstance(entry, Record):
            if entry.status is Status.SUCCESS:
                self._successes[entry.job_id] = entry.at
                if entry.job_id not in self._jobs:
                    return  # the usual case, for each of thousands of runs
            elif entry.status is Status.SKIPPED:
                return
            self._take(entry)
        elif entry.name == "job.removed":
            with self._lock:
                self._remove(str(dict(entry.values)["job_id"]))

    def _take(self, record: Record) -> None:
        with self._lock:
            former = self._jobs.get(record.job_id, NO_STANDING)
            standing = after_record(former, record.status, record.reason, record.at, self._elapsed())
            if standing is not former:
                self._set(record.job_id, standing)
            if former.overdue_since is not None and standing.overdue_since is None:
                self._next_due = 0.0  # the time of this job counts again

    def _set(self, job_id: str, standing: Standing) -> None:
        self._changed.add(job_id)
        if standing == NO_STANDING:
            self._jobs.pop(job_id, None)
        else:
            self._jobs[job_id] = standing

    def _remove(self, job_id: str) -> None:
        for known in (self._jobs, self._successes, self._in_force, self._within):
            known.pop(job_id, None)
        self._undefined.discard(job_id)
        self._changed.discard(job_id)

    # -- definitions

    def define(self, job: Job, in_force: datetime, now: datetime) -> None:
        """Take a definition that came into force at `in_force`, unless an earlier one of that job did before."""
        self._undefined.discard(job.id)
        self._in_force.setdefault(job.id, in_force)
        if job.success_within is None and job.id not in self._jobs:
            return
        with self._lock:
            former = self._jobs.get(job.id, NO_STANDING)
            is_counted = job.success_within is not None
            standing = self._counted(former, job, now) if is_counted else self._uncounted(former, job)
            if standing != former:
                self._set(job.id, standing)

    def _uncounted(self, standing: Standing, job: Job) -> Standing:
        self._within.pop(job.id, None)
        return replace(standing, counted_from=None, held_at=None, overdue_since=None)

    def _counted(self, standing: Standing, job: Job, now: datetime) -> Standing:
        """Count the time without success from the last success, else from when the job came into force."""
        assert job.success_within is not None  # noqa: S101 - `define` looks
        self._within[job.id] = job.success_within
        self._next_due = self._next_hold_check = 0.0
        up = self._elapsed()
        waited = standing.without_success(up)
        if waited is None:
            since = self._successes.get(job.id) or self._in_force[job.id]
            return replace(standing, counted_from=up - max(0.0, (now - since).total_seconds()))
        is_longer = waited < job.success_within - LOG_PRECISION_S
        return replace(standing, overdue_since=None) if is_longer else standing

    # -- time

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
        with self._lock:
            for job_id, is_held in jobs:
                standing = self._jobs.get(job_id, NO_STANDING)
                if standing.counted_from is None or is_held == (standing.held_at is not None):
                    continue
                if standing.held_at is None:
                    self._set(job_id, replace(standing, held_at=up))
                else:
                    counted_from = standing.counted_from + up - standing.held_at
                    self._set(job_id, replace(standing, counted_from=counted_from, held_at=None))
                    self._next_due = 0.0

    def _overdue(self, now: datetime, up: float) -> list[OverdueJob]:
        """Find the jobs whose time is over, and note when the next one's will be: a success only makes that later.

        All jobs are looked through without the lock, which observers of records wait for.
        """
        self._next_due = next_due = _NEVER
        found: list[OverdueJob] = []
        for job_id, within in tuple(self._within.items()):
            waited = self._open_wait(job_id, up)
            if waited is not None and waited >= within:
                found += self._become_overdue(job_id, within, now, up)
            elif waited is not None:
                next_due = min(next_due, up + within - waited)
        self._next_due = min(self._next_due, next_due)
        return found

    def _open_wait(self, job_id: str, up: float) -> float | None:
        """Return for how long a job is without success, None if it is held, overdue already or not counted."""
        standing = self._jobs.get(job_id, NO_STANDING)
        is_open = standing.overdue_since is None and standing.held_at is None
        return standing.without_success(up) if is_open else None

    def _become_overdue(self, job_id: str, within: float, now: datetime, up: float) -> list[OverdueJob]:
        with self._lock:
            waited = self._open_wait(job_id, up)
            if waited is None or waited < within:
                return []  # it has just succeeded
            since = now - timedelta(seconds=waited - within)
            self._set(job_id, replace(self._jobs[job_id], overdue_since=since, told_at=up))
        return [OverdueJob(job_id, since, within, self._successes.get(job_id))]

    # -- alerts

    def begins_to_fail(self, job: Job) -> bool:
        """Return whether the failures of a job have just reached the number of its rule, and note that they have."""
        standing = self._jobs.get(job.id, NO_STANDING)
        if standing.is_failing or standing.streak(with_missed=job.alert.missed)[0] < job.alert.after:
            return False
        with self._lock:
            self._set(job.id, replace(self._jobs.get(job.id, NO_STANDING), is_failing=True, told_at=self._elapsed()))
        return True

    def note_told(self, job_id: str) -> None:
        """Note that a reminder of how a job stands is due now."""
        with self._lock:
            self._set(job_id, replace(self._jobs.get(job_id, NO_STANDING), told_at=self._elapsed()))

    def takes_recovery(self, job_id: str) -> bool:
        """Return whether an alert about a job was due before its success, and forget that alert."""
        if self._jobs.get(job_id, NO_STANDING).told_at is None:
            return False
        with self._lock:
            self._set(job_id, replace(self._jobs.get(job_id, NO_STANDING), told_at=None))
        return True

    def told(self) -> list[tuple[str, float]]:
        """Return the jobs of which an alert was due, which have not succeeded since; with its age in seconds."""
        up = self._elapsed()
        with self._lock:
            return [
                (job_id, up - standing.told_at)
                for job_id, standing in self._jobs.items()
                if standing.told_at is not None and standing.held_at is None
            ]

    # -- checkpoints and the start

    def for_checkpoint(self, active: Iterable[str] | None = None) -> ResultState:
        """Return what a checkpoint has to name: what has changed since the last one, or, if it is full, `active` jobs.

        Lock: the scheduler's is held too, until the checkpoint is queued.
        """
        with self._lock:
            named = self._changed if active is None else {*active, *self._undefined}
            known = {job_id: self._jobs.get(job_id, NO_STANDING) for job_id in named}
            if active is not None:
                known = {job_id: standing for job_id, standing in known.items() if standing is not NO_STANDING}
            successes = {job_id: self._successes[job_id] for job_id in named if job_id in self._successes}
            self._changed = set()
        return ResultState(known, successes)

    def restore(
        self, state: ResultState, results: Iterable[LoggedResult], up_at: Callable[[datetime], float], moved_by: float
    ) -> None:
        """Take over what the log says of the time before this start.

        `results` are the lines after its last checkpoint, in their order. `up_at` returns the seconds of the former
        service's clock for a line, and `moved_by` is what the clock of this one is ahead of it.
        """
        with self._lock:
            self._jobs, self._successes = dict(state.standings), dict(state.successes)
            for result in results:
                self._replay(result, up_at(result.at))
            self._jobs = {job_id: moved(one, moved_by) for job_id, one in self._jobs.items() if one != NO_STANDING}
            self._undefined = {*self._jobs, *self._successes}
            self._changed = set()

    def _replay(self, result: LoggedResult, up: float) -> None:
        if result.word == "job.removed":
            self._remove(result.job_id)
            return
        if result.word == Status.SUCCESS:
            self._successes[result.job_id] = result.at
        self._set(result.job_id, replayed(self._jobs.get(result.job_id, NO_STANDING), result, up))
