"""How everything stands, put together from what the scheduler, the last pass and the records say."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from jobscheduler import __version__
from jobscheduler.config import Settings
from jobscheduler.control.redact import redacted_definition
from jobscheduler.jobs.catalog import ItemState as FileState
from jobscheduler.jobs.catalog import ItemStatus
from jobscheduler.model import Job, Once, Problem, Record, Status
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import Detail, JobRuntime, JobState, JobStatus, ServiceStatus, Snapshot, job_state
from jobscheduler.tasks.command.reaper import REAPER
from jobscheduler.timetable import crontab
from jobscheduler.util.host_id import uptime

MAX_SHOWN_SLOTS = 10
"""How many of its next slots are told of a job."""


class JobHolder(Protocol):
    """Who knows the definitions (see `passes.Reconciler`)."""

    def active_state(self) -> tuple[dict[str, Job], dict[str, ItemStatus]]: ...  # noqa: D102
    def job(self, job_id: str) -> Job | None: ...  # noqa: D102


class Supervising(Protocol):
    """Who knows how the service is (see `service.supervisor.Supervisor`)."""

    def zone(self) -> str: ...  # noqa: D102
    def overdue(self) -> str | None: ...  # noqa: D102
    def issues(self) -> tuple[str, ...]: ...  # noqa: D102


class SnapshotBuilder:
    """Makes snapshots. May be asked by any thread."""

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        holder: JobHolder,
        results: RunStats,
        supervising: Supervising,
        recall: Callable[[], object] = lambda: None,
        *,
        jobs_dir: str = "",
        database: str = "",
        alerts: Callable[[], tuple[str, ...]] = tuple,
        notes: tuple[str, ...] = (),
    ) -> None:
        """`recall` is called before the first snapshot, to have `results` know what was before this start.

        `jobs_dir` and `database` say where jobs are, each empty if there is none. `alerts` gives the jobs of which an
        alert waits. `notes` is what a user should know of this service though nothing is wrong.
        """
        self._alerts = alerts
        self._notes = notes
        self._locations = jobs_dir, database
        self._settings = settings
        self._scheduler = scheduler
        self._reconciler = holder
        self._results = results
        self._supervising = supervising
        self._last_records = recall
        self._began = uptime()
        self._started = datetime.now(UTC)

    def build(self) -> Snapshot:
        """Say how everything stands now."""
        self._last_records()
        jobs, conditions = self._reconciler.active_state()
        standings = {one.job.id: one for one in self._scheduler.runtimes()}
        stale = {name: one for name, one in conditions.items() if one.state is FileState.STALE}
        known = [
            *(self._status_of(jobs[job_id], standings.get(job_id), stale) for job_id in sorted(jobs)),
            *(self._deleted(standings[job_id]) for job_id in sorted(standings.keys() - jobs.keys())),
        ]
        refused = [_refused(name, one) for name, one in sorted(conditions.items()) if name not in stale]
        return Snapshot(datetime.now(UTC), self._service(), (*known, *refused))

    def job_detail(self, job_id: str) -> Detail | None:
        """Tell more about a job that has a valid definition; None for any other."""
        job = self._reconciler.job(job_id)
        if job is None:
            return None
        upcoming = tuple(slot for slot, _ in self._scheduler.upcoming(job_id, MAX_SHOWN_SLOTS))
        if isinstance(job.schedule, Once):
            return Detail(redacted_definition(job), "once, at this instant", self._supervising.zone(), upcoming)
        sentence = crontab.describe(crontab.parse(job.schedule.expression))
        return Detail(redacted_definition(job), sentence, job.schedule.timezone, upcoming)

    def _status_of(self, job: Job, standing: JobRuntime | None, stale: Mapping[str, ItemStatus]) -> JobStatus:
        condition = stale.get(job.source_name)
        last = self._results.last_record(job.id)
        going = standing.active_runs if standing else ()
        paused = standing.paused if standing else False
        upcoming = standing.next if standing else None
        state = job_state(
            enabled=job.enabled,
            active_runs=going,
            paused=paused,
            stale=condition is not None,
            expired=standing is None and not _has_run(job, last),
            upcoming=upcoming is not None,
        )
        problems = condition.problems if condition else ()
        return JobStatus(
            job.id,
            state,
            job.source_name,
            job,
            upcoming,
            going,
            last,
            paused,
            stale=condition is not None,
            problems=problems,
        )

    def _deleted(self, standing: JobRuntime) -> JobStatus:
        """A job whose file is gone, and of which a run goes on."""
        state = job_state(
            enabled=True, active_runs=standing.active_runs, paused=False, stale=False, expired=False, upcoming=False
        )
        last = self._results.last_record(standing.job.id)
        return JobStatus(standing.job.id, state, "", standing.job, active_runs=standing.active_runs, last=last)

    def _since(self) -> datetime:
        """Say when the service started, by the clock of now: that of then may have been wrong by decades."""
        started = datetime.now(UTC) - timedelta(seconds=uptime() - self._began)
        if abs(started - self._started) > timedelta(seconds=1):
            self._started = started
        return self._started

    def _service(self) -> ServiceStatus:
        queued = self._scheduler.queued()
        return ServiceStatus(
            version=__version__,
            pid=os.getpid(),
            started=self._since(),
            timezone=self._supervising.zone(),
            jobs_dir=self._locations[0],
            database=self._locations[1],
            log_file=str(self._settings.log_file.absolute()),
            workers=self._settings.max_workers,
            running=max(0, self._scheduler.running() - queued),
            queued=queued,
            lost_threads=self._scheduler.lost_threads(),
            last_tick_age=self._scheduler.seconds_since_tick(),
            overdue=self._supervising.overdue(),
            issue=(*self._supervising.issues(), *self._scheduler.issues()),
            alerts=self._alerts(),
            left_pipes=_left_pipes(),
            notes=self._notes,
        )


def _has_run(job: Job, last: Record | None) -> bool:
    """Whether the last record is of the one slot of a one-time job."""
    if last is None or not isinstance(job.schedule, Once) or last.scheduled is None:
        return False
    return abs((last.scheduled - job.schedule.at).total_seconds()) < 1 and last.status in {
        Status.SUCCESS,
        Status.FAILURE,
    }


def _refused(name: str, condition: ItemStatus) -> JobStatus:
    problems = condition.problems
    if condition.incumbent is not None:
        problems = (Problem(f"its `job_id` belongs to `{condition.incumbent}`", file=name),)
    return JobStatus(None, JobState.REFUSED, name, problems=problems)


def _left_pipes() -> tuple[tuple[str, int], ...]:
    """Return the jobs with output pipes that processes of ended runs still hold, and how many; the most first."""
    counts = ((job_id, count) for job_id, count in REAPER.open_pipes().items() if count > 0)
    return tuple(sorted(counts, key=lambda one: (-one[1], one[0])))
