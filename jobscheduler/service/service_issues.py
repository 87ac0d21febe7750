"""Collect the issues of the service in words, with its zone and its late part, for `status` and the page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from jobscheduler import tasks
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.service.health import HealthMonitor
from jobscheduler.service.parts import Parts
from jobscheduler.service.source_watch import SourceWatch
from jobscheduler.service.zone_rules_watch import ZoneRulesWatch
from jobscheduler.service.zone_watch import ZoneWatch
from jobscheduler.status.snapshot import Behind
from jobscheduler.util.durations import format_rough_duration
from jobscheduler.util.instants import format_instant_s
from jobscheduler.util.standard_output import is_standard_output

MIN_BEHIND = timedelta(seconds=10)  # a clock that was set back by less delays jobs too briefly to be an issue


class ServiceIssues:
    """The issues, the zone and the late part of the service. Thread: any."""

    def __init__(
        self, zone: ZoneWatch, rules: ZoneRulesWatch, health: HealthMonitor, parts: Parts, sources: SourceWatch
    ) -> None:
        self._zone = zone
        self._rules = rules
        self._health = health
        self._scheduler = parts.scheduler
        self._reconciler = parts.reconciler
        self._log = parts.log
        self._checked = parts.checked
        self._outputs = parts.output_thread
        self._sources = sources

    def zone(self) -> str:
        """Return the name of the service's zone."""
        return self._zone.zone()

    def waiting_rules(self) -> tuple[str, ...]:
        """Return the zones whose rules have changed on disk since they were read."""
        return self._rules.waiting()

    def overdue(self) -> str | None:
        """Return the name of a part that is late, if any."""
        return self._health.overdue()

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong with the service now, in words, with help where there is any."""
        unavailable = tuple(map(_describe_unavailable, self._reconciler.unavailable().values()))
        hung = (f"{name} does not answer" for name in (*self._checked.guard.hung(), *tasks.GUARD.hung()))
        silent = (text for text in hung if not any(text in issue for issue in unavailable))
        return (
            *unavailable,
            *silent,
            *self._own_issues(),
            *tasks.search_issues(),
            *tasks.extra_issues(),
            *self._part_issues(),
        )

    def _part_issues(self) -> Iterator[str]:
        yield from self._checked.optional.issues()
        yield from self._checked.database.issues()
        yield from () if self._outputs is None else self._outputs.issues()

    def _own_issues(self) -> Iterator[str]:
        behind = self._scheduler.behind_clock()
        if behind is not None and behind.by > MIN_BEHIND:
            yield _describe_behind(behind)
        if self._sources.directory.is_degraded:
            yield "changes of files are not watched: all files are checked again and again"
        log_noun = "standard output" if is_standard_output(self._checked.settings.log_file) else "the log file"
        if self._log.is_silent():
            yield f"{log_noun} does not answer: lines are kept, and go to standard error"
        if self._log.is_failing():
            yield f"{log_noun} cannot be written: lines are kept, and go to standard error"
        if self._sources.lock.is_shared:
            yield "another service uses the same jobs directory"


def _describe_behind(behind: Behind) -> str:
    until = format_instant_s(behind.until)
    jobs = "1 job has" if behind.jobs == 1 else f"{behind.jobs} jobs have"
    wait = "waits" if behind.jobs == 1 else "wait"
    by = format_rough_duration(behind.by.total_seconds())
    return f"the clock was set back and is {by} behind: {jobs} run up to {until} and {wait} until that is past"


def _describe_unavailable(reason: SourceUnavailable) -> str:
    help_ = f" (help: {reason.help})" if reason.help else ""
    return f"{reason}: the last known jobs stay active{help_}"
