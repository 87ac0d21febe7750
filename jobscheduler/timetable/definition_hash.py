"""Hash a definition: equal meanings give equal hashes, on every host and in every version of Python."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from jobscheduler.model import EVERY_CHANGE, Cron, Job, TaskSpec, truncate_to_ms
from jobscheduler.model.hash_digits import SCHEDULE_DIGITS
from jobscheduler.timetable.crontab import parse

# The names of the zone whose offset has always been zero. Other links between zones differ from host to host.
_ZERO = frozenset(
    f"{area}{name}"
    for area in ("", "Etc/")
    for name in ("UTC", "UCT", "Universal", "Zulu", "GMT", "GMT0", "GMT+0", "GMT-0", "Greenwich")
)


def definition_hash(job: Job) -> str:
    """Return twelve hexadecimal digits for a definition, including the defaults that the service filled in."""
    latest, known = _latest[0]
    if latest is not job:
        known = _hash(job)
        _latest[0] = job, known
    return known


# The definition that was hashed last. A start asks more than once for the hash of each job, one job after the other.
_latest: list[tuple[Job | None, str]] = [(None, "")]


def _hash(job: Job) -> str:
    schedule = _schedule_part(job)
    task = "\0".join(map(_task, (job.task, job.on_failure, job.on_recovery)))
    retry = "" if job.retry is None else repr((*map(float, _retry(job)),))
    other_fields = (
        job.description,
        repr(job.timeout and float(job.timeout)),
        job.overlap,
        repr(float(job.catch_up)),
        retry,
        task,
        *_limits(job),
        *job.tags,  # none for most jobs, whose hash is that of versions without tags
        *_alert_fields(job),
    )
    return _digits(schedule) + _digits("\0".join((schedule, *other_fields)))


def hash_in_log(job: Job) -> str:
    """Return the hash as log lines about changes write it: with a dash in front for a disabled job."""
    return definition_hash(job) if job.enabled else f"-{definition_hash(job)}"


def _schedule_part(job: Job) -> str:
    schedule = job.schedule
    text = _cron_part(schedule) if isinstance(schedule, Cron) else _instant_part(truncate_to_ms(schedule.at))
    bounds = (_instant_part(job.not_before), _instant_part(job.not_after), repr(float(job.jitter)), str(job.enabled))
    return "\0".join((job.id, type(schedule).__name__, text, *bounds))


@lru_cache(maxsize=4096)
def _cron_part(schedule: Cron) -> str:
    """Return the parsed schedule as text: the values of each field, and the days of every kind of month.

    `real_time` only matters in a zone that has clock changes.
    """
    parsed = parse(schedule.expression)
    zone = "UTC" if schedule.timezone in _ZERO else schedule.timezone
    is_real_time = parsed.real_time or zone == "UTC"
    return "\0".join((*(f"{mask:x}" for mask in parsed.masks()), str(is_real_time), str(parsed.at_boot), zone))


def _retry(job: Job) -> tuple[float, ...]:
    retry = job.retry
    return () if retry is None else (retry.attempts, retry.delay, retry.backoff, retry.max_delay)


def _alert_fields(job: Job) -> tuple[str, ...]:
    """Return the fields about overdue jobs and alerts; none for a job without, whose hash then stays what it was."""
    if job.success_within is None and job.alert == EVERY_CHANGE:
        return ()
    rule = job.alert
    return repr(job.success_within), repr((rule.after, rule.remind and float(rule.remind), rule.missed))


def _limits(job: Job) -> tuple[str, ...]:
    """Return the limits as text; none for a job without any, whose hash is that of versions without limits."""
    limits = job.limits
    return () if limits is None else (f"limits:{limits.memory}:{limits.cpu}:{limits.processes}",)


def _task(task: TaskSpec | None) -> str:
    return "" if task is None else f"{task.type}\0{task.params_json}"


def _instant_part(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat()


def _digits(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SCHEDULE_DIGITS // 2).hexdigest()
