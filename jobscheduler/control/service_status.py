"""Describe the service itself: since when it runs, what it has to do, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from jobscheduler import __version__
from jobscheduler.config import Settings
from jobscheduler.model import Pause
from jobscheduler.model.cluster_view import ClusterView
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.cluster_issues import cluster_issues
from jobscheduler.status.snapshot import ServiceStatus
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now
from jobscheduler.util.standard_output import log_name


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


class ServiceStatusBuilder:
    """Builds the part of a snapshot that is not about a single job.

    Thread: any.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        issues: LiveIssues,
        *,
        jobs_dir: str = "",
        database: str = "",
        alerts: Callable[[], tuple[str, ...]] = tuple,
        notes: tuple[str, ...] = (),
        cluster: Callable[[], ClusterView | None] = lambda: None,
        pauses: Callable[[], tuple[Pause, ...]] | None = None,
    ) -> None:
        """`jobs_dir` and `database` say where jobs come from; each is empty if unused.

        `alerts` returns the jobs with a waiting alert. `notes` are remarks on this service that a user should know
        though nothing is wrong. `cluster` returns the cluster as this node knows it, None for a service that is alone;
        `pauses` returns the pauses in force, which without it the scheduler has.
        """
        self._cluster = cluster
        self._pauses = pauses or scheduler.pauses.in_force
        self._settings = settings
        self._scheduler = scheduler
        self._issues = issues
        self._locations = jobs_dir, database
        self._alerts = alerts
        self._notes = notes
        self._start = StartTime()

    def zone(self) -> str:
        """Return the name of the service's time zone."""
        return self._issues.zone()

    def build(self) -> ServiceStatus:
        """Return how the service is now."""
        queued, new_rules = self._scheduler.runs.queued(), self._issues.waiting_rules()
        cluster = self._cluster()
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
            issues=(*self._issues.issues(), *self._scheduler.runs.issues(), *cluster_issues(cluster)),
            alerts=self._alerts(),
            left_pipes=_left_pipes(),
            notes=(*self._notes, *_note_on(new_rules)),
            new_rules=new_rules,
            pauses=self._pauses(),
            cluster=cluster,
        )


def _note_on(new_rules: tuple[str, ...]) -> tuple[str, ...]:
    if not new_rules:
        return ()
    zones = ", ".join(new_rules)
    return (f"the rules of {zones} have changed on disk; jobs follow the former ones until `jobscheduler reload`",)


def _left_pipes() -> tuple[tuple[str, int], ...]:
    """Return the jobs whose output pipes are still held by processes of ended runs, with counts, highest first."""
    counts = ((job_id, count) for job_id, count in REAPER.pipes.count_by_job().items() if count > 0)
    return tuple(sorted(counts, key=lambda job_and_count: (-job_and_count[1], job_and_count[0])))
