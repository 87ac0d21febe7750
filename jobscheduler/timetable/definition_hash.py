"""A hash of a definition: the same for the same meaning, on every host and in every version of Python."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from jobscheduler.model import Cron, Job, TaskSpec, truncate_to_ms
from jobscheduler.timetable.crontab import parse

SCHEDULE_DIGITS = 6
"""So many of the first hexadecimal digits are of what decides the slots alone."""

_ZERO = frozenset(
    f"{area}{name}"
    for area in ("", "Etc/")
    for name in ("UTC", "UCT", "Universal", "Zulu", "GMT", "GMT0", "GMT+0", "GMT-0", "Greenwich")
)
"""The names of the zone whose offset has always been zero. Other links between zones differ from host to host."""


def definition_hash(job: Job) -> str:
    """Return twelve hexadecimal digits for a definition, with all that the service has decided for it."""
    when = _schedule_part(job)
    task = "\0".join(map(_task, (job.task, job.on_failure, job.on_recovery)))
    retry = "" if job.retry is None else repr((*map(float, _retry(job)),))
    rest = (
        job.description,
        repr(job.timeout and float(job.timeout)),
        job.overlap,
        repr(float(job.catch_up)),
        retry,
        task,
    )
    return _digits(when) + _digits("\0".join((when, *rest)))


def hash_in_log(job: Job) -> str:
    """Return the hash as lines about changes tell it: with a dash in front for a job that is disabled."""
    return definition_hash(job) if job.enabled else f"-{definition_hash(job)}"


def has_same_slots(one: str, other: str) -> bool:
    """Tell by their hashes whether two definitions are due at the same times."""
    return one[:SCHEDULE_DIGITS] == other[:SCHEDULE_DIGITS]


def _schedule_part(job: Job) -> str:
    schedule = job.schedule
    text = _cron_part(schedule) if isinstance(schedule, Cron) else _instant_part(truncate_to_ms(schedule.at))
    bounds = (_instant_part(job.not_before), _instant_part(job.not_after), repr(float(job.jitter)), str(job.enabled))
    return "\0".join((job.id, type(schedule).__name__, text, *bounds))


@lru_cache(maxsize=4096)
def _cron_part(schedule: Cron) -> str:
    """Return the parsed schedule as text: the values of each field, and the days of every month that there is.

    Whether it follows the clock or real time through clock changes only matters in a zone that has any.
    """
    parsed = parse(schedule.expression)
    zone = "UTC" if schedule.timezone in _ZERO else schedule.timezone
    follows = parsed.real_time or zone == "UTC"
    return "\0".join((*(f"{mask:x}" for mask in parsed.masks()), str(follows), str(parsed.at_boot), zone))


def _retry(job: Job) -> tuple[float, ...]:
    retry = job.retry
    return () if retry is None else (retry.attempts, retry.delay, retry.backoff, retry.max_delay)


def _task(task: TaskSpec | None) -> str:
    return "" if task is None else f"{task.type}\0{task.params_json}"


def _instant_part(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat()


def _digits(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SCHEDULE_DIGITS // 2).hexdigest()
