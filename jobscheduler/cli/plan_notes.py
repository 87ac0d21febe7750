"""What a plan notes beside its changes: crowded instants, short time limits, and what is odd about jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from jobscheduler.cli.history_stats import percentile
from jobscheduler.cli.job_files import ReadFile
from jobscheduler.cli.plan_changes import CHANGED, NEW, JobChange
from jobscheduler.cli.plan_in_force import InForce
from jobscheduler.cli.service_jobs import jobs_of_service
from jobscheduler.config import Settings
from jobscheduler.jobs.collisions import HORIZON, collisions
from jobscheduler.jobs.parser import ParseContext, definition_warnings
from jobscheduler.jobs.preview import Preview
from jobscheduler.model import SLOT_FIELDS, Job
from jobscheduler.runlog.bounded_query import ReadLimit, newest_records
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_local_short
from jobscheduler.util.standard_output import is_standard_output
from jobscheduler.util.text import plural

_MAX_COLLISIONS = 3  # that are shown
_RUNS = 20  # whose durations are compared with a new time limit
_MAX_LOOKED_UP = 50  # jobs whose runs are looked up
_MAX_LOG_BYTES = 16 * 1024 * 1024  # that are read of the log for each of them

Note = tuple[str | None, str]  # a job, if it is about one, and the note
_Jobs = Mapping[str, Job]


def jobs_then(found: Preview, in_force: InForce, settings: Settings, now: datetime) -> tuple[_Jobs, _Jobs]:
    """Return the jobs now and then; none if no job would get other starts.

    Raises:
        ServiceUnreachable: the service has ended in between.

    """
    if not in_force.is_part:
        return found.before, found.after
    if all(job.id in found.before and _starts_alike(job, found.before[job.id]) for job in found.plan.put):
        return {}, {}
    others = {known.job.id: known.job for known in jobs_of_service(settings, due_by=now + HORIZON)}
    for job_id in found.before:
        others.pop(job_id, None)
    return {**others, **found.before}, {**others, **found.after}


def _starts_alike(one: Job, other: Job) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("schedule", "enabled", "jitter", *SLOT_FIELDS))


def notes_on_collisions(before: _Jobs, after: _Jobs, now: datetime, workers: int) -> Iterator[Note]:
    """Yield the instants at which more jobs would start than now, the most crowded first."""
    worst = collisions(before, after, now, workers)
    for one in worst[:_MAX_COLLISIONS]:
        at = format_local_short(one.at, now)
        yield None, f"{one.after} jobs would start at {at} ({one.before} now); {plural(workers, 'worker')}"
    if len(worst) > _MAX_COLLISIONS:
        yield None, f"and so at {plural(len(worst) - _MAX_COLLISIONS, 'other instant')} of the next 24 hours"


def notes_on_durations(changes: Iterable[JobChange], settings: Settings) -> Iterator[Note]:
    """Yield jobs of which runs in the log took longer than their new time limit."""
    shortened = [(change.job_id, limit) for change in changes if (limit := change.shorter_timeout) is not None]
    for job_id, limit in [] if is_standard_output(settings.log_file) else shortened[:_MAX_LOOKED_UP]:
        taken = _durations(job_id, settings)
        longer = sum(duration > limit for duration in taken)
        if longer:
            allowed, p95 = format_compact_duration(limit), format_compact_duration(percentile(taken, 95) or 0.0)
            yield (
                job_id,
                f"{longer} of its last {len(taken)} runs took longer than the new time limit of {allowed} (p95 {p95})",
            )


def _durations(job_id: str, settings: Settings) -> list[float]:
    """Return how long the last runs of a job took, in seconds and in order; none if the log cannot be read."""
    wanted = LogFilter(job_id, frozenset({"SUCCESS", "FAILURE"}))
    try:
        found = newest_records(settings.log_file, settings.log_backups, wanted, _RUNS, ReadLimit(_MAX_LOG_BYTES))
    except OSError:  # the plan is then without expected ends
        return []
    return sorted(float(line.pairs["duration"]) for line in found.lines if "duration" in line.pairs)


def notes_on_jobs(
    changes: Iterable[JobChange], files: Mapping[str, ReadFile], rules: ParseContext, now: datetime
) -> Iterator[Note]:
    """Yield what is odd about new and changed jobs."""
    for change in changes:
        read = files.get(change.file)
        if change.kind in {NEW, CHANGED} and read is not None and isinstance(read.result, Job):
            for warning in definition_warnings(read.raw, str(read.path), read.result, rules, now):
                yield change.job_id, warning.message
