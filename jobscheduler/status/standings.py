"""Keep how each job stands: its failures in a row, and for how long it has been without a success.

1. Records change it as they are written, definitions when they are put, and time alone makes a job overdue.
2. `StandingTable` has what is known, and `SuccessDeadlines` counts the time without success.
3. Checkpoints carry it: a full one that of every job, the others what has changed since the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from jobscheduler.model import Job, LogEntry, Record, Status
from jobscheduler.model.standing import NO_STANDING, LoggedResult, ResultState, Standing
from jobscheduler.status.standing_changes import after_record
from jobscheduler.status.standing_table import StandingTable
from jobscheduler.status.success_deadlines import OverdueJob, SuccessDeadlines


class Standings:
    """How every job stands. A job without a failure and without `success_within` costs one entry in a dictionary.

    Thread: any. Lock: its own, a leaf. Records are observed under the scheduler's, so a checkpoint agrees with them.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """`elapsed` returns seconds of a clock that is never set, and goes on from one start of a boot to the next."""
        self._elapsed = elapsed
        self._table = StandingTable()
        self._deadlines = SuccessDeadlines(self._table, elapsed)
        self._standings = self._table.standings
        self._successes = self._table.successes
        self._in_force: dict[str, datetime] = {}

    # -- what is known

    def of(self, job_id: str) -> Standing:
        """Return how a job stands."""
        return self._standings.get(job_id, NO_STANDING)

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
                if entry.job_id not in self._standings:
                    return  # the usual case, for each of thousands of runs
            elif entry.status is Status.SKIPPED:
                return
            self._take(entry)
        elif entry.name == "job.removed":
            self._remove(str(dict(entry.values)["job_id"]))

    def _take(self, record: Record) -> None:
        with self._table.lock:
            former = self.of(record.job_id)
            standing = after_record(former, record.status, record.reason, record.at, self._elapsed())
            if standing is not former:
                self._table.set(record.job_id, standing)
            if former.overdue_since is not None and standing.overdue_since is None:
                self._deadlines.look_again()

    def _remove(self, job_id: str) -> None:
        with self._table.lock:
            self._table.remove(job_id)
            self._deadlines.stop(job_id)
            self._in_force.pop(job_id, None)

    # -- definitions and time

    def define(self, job: Job, in_force: datetime, now: datetime) -> None:
        """Take a definition that came into force at `in_force`, unless an earlier one of that job did before."""
        self._table.undefined.discard(job.id)
        in_force = self._in_force.setdefault(job.id, in_force)
        within = job.success_within
        if within is None and job.id not in self._standings:
            return
        with self._table.lock:
            former = self.of(job.id)
            if within is None:
                self._deadlines.stop(job.id)
                standing = replace(former, counted_from=None, held_at=None, overdue_since=None)
            else:
                standing = self._deadlines.count(former, job, within, in_force, now)
            if standing != former:
                self._table.set(job.id, standing)

    def check(self, now: datetime, is_held: Callable[[str], bool]) -> list[OverdueJob]:
        """Return the jobs that have become overdue, each once. Call it about once a second.

        `is_held` returns whether the time of a job does not count at present; it must not wait.
        """
        return self._deadlines.check(now, is_held)

    # -- alerts

    def begins_to_fail(self, job: Job) -> bool:
        """Note whether the failures of a job have just reached the number of its rule, and return it."""
        standing = self.of(job.id)
        if standing.is_failing or standing.streak(with_missed=job.alert.missed)[0] < job.alert.after:
            return False
        with self._table.lock:
            self._table.set(job.id, replace(self.of(job.id), is_failing=True, alerted_at=self._elapsed()))
        return True

    def note_alert(self, job_id: str) -> None:
        """Note that an alert about how a job stands is due now."""
        with self._table.lock:
            self._table.set(job_id, replace(self.of(job_id), alerted_at=self._elapsed()))

    def take_alert(self, job_id: str) -> bool:
        """Forget the alert that was due about a job before its success; return whether there was one."""
        if self.of(job_id).alerted_at is None:
            return False
        with self._table.lock:
            self._table.set(job_id, replace(self.of(job_id), alerted_at=None))
        return True

    def alerted(self) -> list[tuple[str, float]]:
        """Return the jobs of which an alert was due, which have not succeeded since, each with its age in seconds."""
        up = self._elapsed()
        with self._table.lock:
            return [
                (job_id, up - standing.alerted_at)
                for job_id, standing in self._standings.items()
                if standing.alerted_at is not None and standing.held_at is None
            ]

    # -- checkpoints and the start

    def for_checkpoint(self, active: Iterable[str] | None = None) -> ResultState:
        """Return what a checkpoint has to name: what has changed since the last one, or, if it is full, `active` jobs.

        Lock: the scheduler's is held too, until the checkpoint is queued.
        """
        return self._table.for_checkpoint(active)

    def restore(
        self, state: ResultState, results: Iterable[LoggedResult], up_at: Callable[[datetime], float], moved_by: float
    ) -> None:
        """Take over what the log says of the time before this start (as `StandingTable.restore`)."""
        self._table.restore(state, results, up_at, moved_by)
