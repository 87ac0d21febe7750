"""Build a snapshot from the states of the scheduler, of the last sync and of the run statistics."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from jobscheduler import __version__
from jobscheduler.config import Settings
from jobscheduler.control.redact import redacted_definition
from jobscheduler.jobs.catalog import ItemState as FileState
from jobscheduler.jobs.catalog import ItemStatus
from jobscheduler.model import Cron, Job, Once, Problem, Record, Status
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import Detail, JobRuntime, JobState, JobStatus, ServiceStatus, Snapshot, job_state
from jobscheduler.status.standings import Standings
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.timetable import crontab
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now
from jobscheduler.util.standard_output import log_name

MAX_SHOWN_SLOTS = 10  # next slots of a job that are shown


class JobHolder(Protocol):
    """The definitions (see `jobs.reconciler.Reconciler`)."""

    def active_state(self) -> tuple[dict[str, Job], dict[str, ItemStatus]]: ...  # noqa: D102
    def job(self, job_id: str) -> Job | None: ...  # noqa: D102
    def items(self) -> list[tuple[str, Job | None, ItemStatus]]: ...  # noqa: D102


class LiveIssues(Protocol):
    """The zone, the late part and the issues of the service (see `service.service_issues.ServiceIssues`)."""

    def zone(self) -> str: ...  # noqa: D102
    def waiting_rules(self) -> tuple[str, ...]: ...  # noqa: D102
    def overdue(self) -> str | None: ...  # noqa: D102
    def issues(self) -> tuple[str, ...]: ...  # noqa: D102


class StartTime:
    """When the service started. Make it at the start."""

    def __init__(self) -> None:
        self._uptime = uptime()
        self._instant = utc_now()

    def instant(self) -> datetime:
        """Return the start, counted back from the present clock: the clock at the start may have been decades wrong."""
        instant = utc_now() - timedelta(seconds=uptime() - self._uptime)
        if abs(instant - self._instant) > timedelta(seconds=1):
            self._instant = instant
        return self._instant


class SnapshotBuilder:
    """Build snapshots.

    Thread: any.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        holder: JobHolder,
        results: RunStats,
        issues: LiveIssues,
        load_last_records: Callable[[], object] = lambda: None,
        *,
        standings: Standings | None = None,
        jobs_dir: str = "",
        database: str = "",
        alerts: Callable[[], tuple[str, ...]] = tuple,
        notes: tuple[str, ...] = (),
    ) -> None:
        """`load_last_records` is called before each snapshot: `results` then has the records from before this start.

        `jobs_dir` and `database` say where jobs come from; each is empty if unused. `alerts` returns the jobs with a
        waiting alert. `standings` are how the jobs stand. `notes` are remarks on this service that a user should know
        though nothing is wrong.
        """
        self._alerts = alerts
        self._notes = notes
        self._locations = jobs_dir, database
        self._settings = settings
        self._scheduler = scheduler
        self._reconciler = holder
        self._results = results
        self._standings = standings or Standings(uptime)
        self._issues = issues
        self._load_last_records = load_last_records
        self._start = StartTime()

    def build(self, only: Collection[str] | None = None) -> Snapshot:
        """Return the state of everything now; with `only`, of these jobs alone, beside the refused files."""
        self._load_last_records()
        jobs, item_states = self._reconciler.active_state()
        if only is not None:
            jobs = {job_id: jobs[job_id] for job_id in only if job_id in jobs}
        runtimes = {runtime.job.id: runtime for runtime in self._scheduler.runtimes(only)}
        stale = {name: item for name, item in item_states.items() if item.state is FileState.STALE}
        known = [
            *(self._status_of(jobs[job_id], runtimes.get(job_id), stale) for job_id in sorted(jobs)),
            *(self._deleted(runtimes[job_id]) for job_id in sorted(runtimes.keys() - jobs.keys())),
        ]
        refused = [_refused(name, item) for name, item in sorted(item_states.items()) if name not in stale]
        return Snapshot(utc_now(), self._service(), (*known, *refused))

    def job_detail(self, job_id: str) -> Detail | None:
        """Return details of a job that has a valid definition; None for any other."""
        job = self._reconciler.job(job_id)
        if job is None:
            return None
        upcoming = tuple(slot for slot, _ in self._scheduler.upcoming(job_id, MAX_SHOWN_SLOTS))
        if isinstance(job.schedule, Once):
            return Detail(redacted_definition(job), "once, at this instant", self._issues.zone(), upcoming)
        sentence = crontab.describe(crontab.parse(job.schedule.expression))
        return Detail(redacted_definition(job), sentence, job.schedule.timezone, upcoming)

    def _status_of(self, job: Job, runtime: JobRuntime | None, stale: Mapping[str, ItemStatus]) -> JobStatus:
        stale_item = stale.get(job.source_name)
        recent = self._results.recent_runs(job.id)
        last = recent.last if recent else None
        active_runs = runtime.active_runs if runtime else ()
        pauses = runtime.pauses if runtime else self._scheduler.pauses.of(job)
        upcoming = runtime.next if runtime else None
        state = job_state(
            enabled=job.enabled,
            active_runs=active_runs,
            paused=bool(pauses),
            stale=stale_item is not None,
            expired=runtime is None and not _has_run(job, last),
            upcoming=upcoming is not None or (isinstance(job.schedule, Cron) and job.schedule.is_at_boot),
            manual=isinstance(job.schedule, Cron) and job.schedule.is_manual,
        )
        problems = stale_item.problems if stale_item else ()
        standing = self._standings.of(job.id)
        failures, failing_since = standing.streak(with_missed=job.alert.missed)
        return JobStatus(
            job.id,
            state,
            job.source_name,
            job,
            upcoming,
            active_runs,
            last,
            pauses,
            stale=stale_item is not None,
            problems=problems,
            start=runtime.start if runtime else None,
            last_line=recent.last_line if recent else None,
            usual=recent.usual if recent else None,
            overdue_since=standing.overdue_since,
            failures=failures,
            failing_since=failing_since,
            last_success=self._last_success(job.id),
            in_force_since=self._standings.in_force_since(job.id),
        )

    def _last_success(self, job_id: str) -> datetime | None:
        return self._standings.last_success(job_id) or self._results.last_success(job_id)

    def _deleted(self, runtime: JobRuntime) -> JobStatus:
        """Return the status of a job whose file is gone, while a run of it goes on."""
        state = job_state(
            enabled=True, active_runs=runtime.active_runs, paused=False, stale=False, expired=False, upcoming=False
        )
        last = self._results.last_record(runtime.job.id)
        return JobStatus(runtime.job.id, state, "", runtime.job, active_runs=runtime.active_runs, last=last)

    def _service(self) -> ServiceStatus:
        queued, new_rules = self._scheduler.runs.queued(), self._issues.waiting_rules()
        return ServiceStatus(
            version=__version__,
            pid=os.getpid(),
            started=self._start.instant(),
            timezone=self._issues.zone(),
            jobs_dir=self._locations[0],
            database=self._locations[1],
            log_file=log_name(self._settings.log_file),
            workers=self._settings.max_workers,
            running=max(0, self._scheduler.runs.count() - queued),
            queued=queued,
            lost_threads=self._scheduler.runs.lost_threads(),
            last_tick_age=self._scheduler.seconds_since_tick(),
            overdue=self._issues.overdue(),
            issues=(*self._issues.issues(), *self._scheduler.runs.issues()),
            alerts=self._alerts(),
            left_pipes=_left_pipes(),
            notes=(*self._notes, *_note_on(new_rules)),
            new_rules=new_rules,
            pauses=self._scheduler.pauses.in_force(),
        )


def _note_on(new_rules: tuple[str, ...]) -> tuple[str, ...]:
    if not new_rules:
        return ()
    zones = ", ".join(new_rules)
    return (f"the rules of {zones} have changed on disk; jobs follow the former ones until `jobscheduler reload`",)


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


def _left_pipes() -> tuple[tuple[str, int], ...]:
    """Return the jobs whose output pipes are still held by processes of ended runs, with counts, highest first."""
    counts = ((job_id, count) for job_id, count in REAPER.pipes.count_by_job().items() if count > 0)
    return tuple(sorted(counts, key=lambda job_and_count: (-job_and_count[1], job_and_count[0])))
