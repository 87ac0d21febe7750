"""Build a snapshot from the states of the scheduler, of the last sync and of the run statistics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from jobscheduler.control.redact import redacted_definition
from jobscheduler.control.service_status import ServiceStatusBuilder
from jobscheduler.control.shared_account import SharedRuns
from jobscheduler.jobs.catalog import ItemState as FileState
from jobscheduler.jobs.catalog import ItemStatus
from jobscheduler.model import Cron, Job, Once, Problem, Record, Status
from jobscheduler.model.pauses import FOREVER
from jobscheduler.model.standing import Standing
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_stats import RecentRuns
from jobscheduler.status.snapshot import Detail, JobRuntime, JobState, JobStatus, Snapshot, job_state
from jobscheduler.status.standings import Standings
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timetable import timetable_of
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now

MAX_SHOWN_SLOTS = 10  # next slots of a job that are shown


class JobHolder(Protocol):
    """The definitions (see `jobs.reconciler.Reconciler`)."""

    def active_state(self) -> tuple[dict[str, Job], dict[str, ItemStatus]]: ...  # noqa: D102
    def job(self, job_id: str) -> Job | None: ...  # noqa: D102
    def items(self) -> list[tuple[str, Job | None, ItemStatus]]: ...  # noqa: D102


class LastResults(Protocol):
    """The last results of jobs (see `status.run_stats.RunStats`)."""

    def recent_runs(self, job_id: str) -> RecentRuns | None: ...  # noqa: D102
    def last_record(self, job_id: str) -> Record | None: ...  # noqa: D102
    def last_success(self, job_id: str) -> datetime | None: ...  # noqa: D102


class JobStandings(Protocol):
    """How jobs stand (see `status.standings.Standings`)."""

    def of(self, job_id: str) -> Standing: ...  # noqa: D102
    def last_success(self, job_id: str) -> datetime | None: ...  # noqa: D102
    def in_force_since(self, job_id: str) -> datetime | None: ...  # noqa: D102


class _Facts(NamedTuple):
    """What the status of a job is made of. None of it changes: what is different is another object.

    `last_success` is that of the standings; the one of the statistics changes with `recent`.
    """

    job: Job
    runtime: JobRuntime | None
    stale_item: ItemStatus | None
    recent: RecentRuns | None
    standing: Standing
    last_success: datetime | None
    in_force_since: datetime | None


_MadeStatus = tuple[_Facts, JobStatus]


class SnapshotBuilder:
    """Build snapshots. Of ten thousand jobs few change in a second, so the former status of the others stays.

    Thread: any.
    """

    def __init__(
        self,
        service: ServiceStatusBuilder,
        scheduler: Scheduler,
        definitions: JobHolder,
        results: LastResults,
        standings: JobStandings | None = None,
        load_last_records: Callable[[], object] = lambda: None,
        shared: SharedRuns | None = None,
    ) -> None:
        """`load_last_records` is called before each snapshot: `results` then has the records from before this start.

        `standings` are how the jobs stand. `shared` are the runs and pauses of the other nodes of a cluster.
        """
        self._shared = shared
        self._service = service
        self._scheduler = scheduler
        self._definitions = definitions
        self._results = results
        self._standings: JobStandings = standings or Standings(uptime)
        self._load_last_records = load_last_records
        self._made: dict[str, _MadeStatus] = {}

    def build(self, only: Collection[str] | None = None) -> Snapshot:
        """Return the state of everything now; with `only`, of these jobs alone, beside the refused files."""
        self._load_last_records()
        jobs, item_states = self._definitions.active_state()
        if only is not None:
            jobs = {job_id: jobs[job_id] for job_id in only if job_id in jobs}
        runtimes = {runtime.job.id: self._with_shared(runtime) for runtime in self._scheduler.runtimes(only)}
        stale = {name: item for name, item in item_states.items() if item.state is FileState.STALE}
        known = [
            *(self._status_of(jobs[job_id], runtimes.get(job_id), stale) for job_id in sorted(jobs)),
            *(self._deleted(runtimes[job_id]) for job_id in sorted(runtimes.keys() - jobs.keys())),
        ]
        if only is None and len(self._made) > len(jobs):
            self._made = {job_id: made for job_id, made in self._made.items() if job_id in jobs}
        refused = [_refused(name, item) for name, item in sorted(item_states.items()) if name not in stale]
        return Snapshot(utc_now(), self._service.build(), (*known, *refused))

    def job_detail(self, job_id: str) -> Detail | None:
        """Return details of a job that has a valid definition; None for any other."""
        job = self._definitions.job(job_id)
        if job is None:
            return None
        upcoming = tuple(slot for slot, _ in self._scheduler.upcoming(job_id, MAX_SHOWN_SLOTS))
        if isinstance(job.schedule, Once):
            return Detail(redacted_definition(job), "once, at this instant", self._service.zone(), upcoming)
        sentence = crontab.describe(crontab.parse(job.schedule.expression))
        return Detail(redacted_definition(job), sentence, job.schedule.timezone, upcoming)

    def _with_shared(self, runtime: JobRuntime) -> JobRuntime:
        """Add to what this node knows of a job what the account has, and skip the slots of a pause that it has."""
        if self._shared is None:
            return runtime
        job, runs = runtime.job, self._shared.active(runtime.job.id, runtime.active_runs)
        pauses = self._shared.pauses_of(job, runtime.pauses)
        if pauses == runtime.pauses:
            return runtime if runs == runtime.active_runs else replace(runtime, active_runs=runs)
        end = max((pause.end for pause in pauses), default=None)
        upcoming = next_slot_from(job, end, runtime.next)
        return replace(runtime, active_runs=runs, pauses=pauses, next=upcoming, start=None)

    def _status_of(self, job: Job, runtime: JobRuntime | None, stale: Mapping[str, ItemStatus]) -> JobStatus:
        """Return the status of a job: the former one if it would be made of the very same parts."""
        job_id, standings, former = job.id, self._standings, self._made.get(job.id)
        stale_item = stale.get(job.source_name) if stale else None
        recent, standing = self._results.recent_runs(job_id), standings.of(job_id)
        success, in_force = standings.last_success(job_id), standings.in_force_since(job_id)
        if former is not None and runtime is not None:
            of_job, of_runtime, of_item, of_recent, of_standing, of_success, of_force = former[0]
            if (
                runtime is of_runtime
                and job is of_job
                and stale_item is of_item
                and recent is of_recent
                and standing is of_standing
                and success is of_success
                and in_force is of_force
            ):
                return former[1]
        facts = _Facts(job, runtime, stale_item, recent, standing, success, in_force)
        self._made[job_id] = facts, (made := self._make_status(facts))
        return made

    def _make_status(self, facts: _Facts) -> JobStatus:
        job, runtime, stale_item, recent, standing, last_success, in_force_since = facts
        last = recent.last if recent else None
        known = runtime or self._with_shared(JobRuntime(job, None, (), self._scheduler.pauses.of(job)))
        state = job_state(
            enabled=job.enabled,
            active_runs=known.active_runs,
            paused=bool(known.pauses),
            stale=stale_item is not None,
            expired=runtime is None and not _has_run(job, last),
            upcoming=known.next is not None or (isinstance(job.schedule, Cron) and job.schedule.is_at_boot),
            manual=isinstance(job.schedule, Cron) and job.schedule.is_manual,
        )
        problems = stale_item.problems if stale_item else ()
        failures, failing_since = standing.streak(with_missed=job.alert.missed)
        return JobStatus(
            job.id,
            state,
            job.source_name,
            job,
            known.next,
            known.active_runs,
            last,
            known.pauses,
            stale=stale_item is not None,
            problems=problems,
            start=known.start,
            last_line=recent.last_line if recent else None,
            usual=recent.usual if recent else None,
            overdue_since=standing.overdue_since,
            failures=failures,
            failing_since=failing_since,
            last_success=last_success or self._results.last_success(job.id),
            in_force_since=in_force_since,
        )

    def _deleted(self, runtime: JobRuntime) -> JobStatus:
        """Return the status of a job whose file is gone, while a run of it goes on."""
        state = job_state(
            enabled=True, active_runs=runtime.active_runs, paused=False, stale=False, expired=False, upcoming=False
        )
        last = self._results.last_record(runtime.job.id)
        return JobStatus(runtime.job.id, state, "", runtime.job, active_runs=runtime.active_runs, last=last)


def next_slot_from(job: Job, end: datetime | None, upcoming: datetime | None) -> datetime | None:
    """Return the first slot from the end of its pauses on, given the next one; None if they have no end."""
    if end is None or upcoming is None or upcoming >= end:
        return upcoming
    return None if end >= FOREVER else timetable_of(job).next(end - timedelta(milliseconds=1))


def _has_run(job: Job, last: Record | None) -> bool:
    """Return whether the last record belongs to the only slot of a one-time job."""
    if last is None or not isinstance(job.schedule, Once) or last.scheduled is None:
        return False
    return abs((last.scheduled - job.schedule.at).total_seconds()) < 1 and last.status in {
        Status.SUCCESS,
        Status.FAILURE,
    }


def _refused(name: str, item: ItemStatus) -> JobStatus:
    problems = item.problems
    if item.incumbent is not None:
        problems = (Problem(f"its `job_id` belongs to `{item.incumbent}`", file=name),)
    return JobStatus(None, JobState.REFUSED, name, problems=problems)
