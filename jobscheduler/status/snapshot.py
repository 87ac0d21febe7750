"""The state of the service and its jobs at one moment, as values. Tables, pages and metrics only read it.

A snapshot is built on request and never changes, so two ways to show it cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from jobscheduler.model import Job, Pause, Problem, Record
from jobscheduler.model.errors import ProblemError

if TYPE_CHECKING:  # a verb that asks the service needs no view of a cluster
    from jobscheduler.model.cluster_view import ClusterView


class NotFound(ProblemError):
    """There is no such job or run; the problem says so, and suggests a similar name."""


class Conflict(ProblemError):
    """The request cannot be met now; the problem says why, and what helps."""


class JobState(StrEnum):
    """The state of a job; if several apply, the first of these."""

    REFUSED = "refused"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    DISABLED = "disabled"
    STALE = "stale"
    EXPIRED = "expired"
    MANUAL = "manual"
    SCHEDULED = "scheduled"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that has no record yet. `waiting_for` is a `worker`, a `retry` or its `turn`; None while it is at work.

    `scheduled` is None for a manual run, `started` is None before its first attempt; `attempt` counts from 1. `pid` is
    the main process of a command at work. `node` is the node of a cluster that it is on, if that is another one.
    """

    run_id: str
    scheduled: datetime | None
    started: datetime | None
    attempt: int
    waiting_for: str | None = None
    pid: int | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class JobRuntime:
    """The state of a definition in the scheduler: its next slot that will run, and the runs that have no record yet.

    `pauses` are those in force for it, `start` is when the next slot starts: later by its jitter.
    """

    job: Job
    next: datetime | None
    active_runs: tuple[ActiveRun, ...] = ()
    pauses: tuple[Pause, ...] = ()
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """The clock was set back: it is `by` behind `until`, the instant up to which slots are decided.

    For so long `jobs` jobs wait, all slots of which are decided.
    """

    by: timedelta
    until: datetime
    jobs: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of one job, or of a refused file: then `job` is None, and `id` the one that it claims, if known.

    `next` is the next slot that will run, `last` the last record, `pauses` those in force for it. A stale job stays
    active as it was before its file became bad; `problems` say what is wrong with the file.
    `overdue_since` is set while the job is overdue (`success_within`). `failures` are those in a row up to now, by the
    job's `alert` rule, and `failing_since` is the time of the first of them. `last_success` is the time of the last
    success that is known, `in_force_since` when the definition came into force.
    `start` is when the next slot starts, later by its jitter. `last_line` is the last line of output in the last
    record, `usual` the median duration of the last successes in seconds.
    """

    id: str | None
    state: JobState
    file: str
    job: Job | None = None
    next: datetime | None = None
    active_runs: tuple[ActiveRun, ...] = ()
    last: Record | None = None
    pauses: tuple[Pause, ...] = ()
    stale: bool = False
    problems: tuple[Problem, ...] = ()
    overdue_since: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    last_success: datetime | None = None
    in_force_since: datetime | None = None
    start: datetime | None = None
    last_line: str | None = None
    usual: float | None = None

    @property
    def paused(self) -> bool:
        """Whether its slots are skipped."""
        return bool(self.pauses)

    @property
    def paused_until(self) -> datetime | None:
        """The instant before which its slots are skipped, None if it is not paused."""
        return max((pause.end for pause in self.pauses), default=None)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """The state of the service itself. Durations are seconds; `last_tick_age` is the age of the loop's last round.

    `running` are runs at work, `queued` those that wait for a worker. `overdue` names a part that is not on time.
    `issues` are the present issues as text, such as a lost directory or a log that cannot be written.
    `jobs_dir` and `database` say where jobs come from; each is empty if unused.
    `alerts` are the jobs with a waiting alert.
    `left_pipes` is the number of output pipes that the service keeps open for each job, because processes that ended
    runs left behind still hold them.
    `notes` are remarks that a user should know though nothing is wrong.
    `pauses` are all in force.
    `new_rules` are the zones whose rules have changed on disk and wait for a reload.
    `cluster` is the cluster as this node knows it; None for a service that is alone.
    """

    version: str
    pid: int
    started: datetime
    timezone: str
    jobs_dir: str
    log_file: str
    workers: int
    running: int
    queued: int
    lost_threads: int
    last_tick_age: float
    overdue: str | None = None
    issues: tuple[str, ...] = ()
    database: str = ""
    alerts: tuple[str, ...] = ()
    new_rules: tuple[str, ...] = ()
    pauses: tuple[Pause, ...] = ()
    left_pipes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    cluster: ClusterView | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of everything at `at`. Jobs come in the order of their ids, refused files after them."""

    at: datetime
    service: ServiceStatus
    jobs: tuple[JobStatus, ...]

    def count(self) -> Mapping[JobState, int]:
        """Return how many jobs are in each state; every state is a key."""
        counts = Counter(job.state for job in self.jobs)
        return {state: counts[state] for state in JobState}

    def find(self, job_id: str) -> JobStatus | None:
        """Return the active job of this id, or else a refused file that claims it."""
        return next((job for job in self.jobs if job.id == job_id), None)


@dataclass(frozen=True, slots=True)
class Detail:
    """Details of one active job, beside its status.

    `definition` is as in a job file, with secrets redacted; `sentence` is the schedule in words. `upcoming` are its
    next slots, in UTC.
    """

    definition: Mapping[str, Any]
    sentence: str
    timezone: str
    upcoming: tuple[datetime, ...] = ()


def job_state(
    *,
    enabled: bool,
    active_runs: tuple[ActiveRun, ...],
    paused: bool,
    stale: bool,
    expired: bool,
    upcoming: bool,
    manual: bool = False,
) -> JobState:
    """Return the state of a job that is active or has expired; a job without a further slot is done.

    `manual`: it is never due by itself.
    """
    if active_runs:
        return JobState.RUNNING if any(run.waiting_for is None for run in active_runs) else JobState.WAITING
    states = (
        (paused, JobState.PAUSED),
        (not enabled, JobState.DISABLED),
        (stale, JobState.STALE),
        (expired, JobState.EXPIRED),
        (manual, JobState.MANUAL),
    )
    return next((state for applies, state in states if applies), JobState.SCHEDULED if upcoming else JobState.DONE)
