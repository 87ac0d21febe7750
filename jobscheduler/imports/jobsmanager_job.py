"""Turn a job of JobsManager into the definition of a job, with what changes its meaning (pure)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobscheduler.imports.apscheduler_fields import Field, theirs
from jobscheduler.imports.apscheduler_schedule import expression, has_star_for_both
from jobscheduler.imports.clock_changes import describe, differences
from jobscheduler.imports.jobsmanager_command import shell_command
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.stored_job import CronTrigger, StoredJob
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.util.instants import format_instant
from jobscheduler.util.text import quote

USUAL_GRACE_S = 1  # `misfire_grace_time` of every job that JobsManager adds

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NO_ID_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_ID_CHARS = 100  # before a hash; an id may have 128
_LONGEST_CATCH_UP = "366d"  # of a job that JobsManager runs however late
_SECOND = timedelta(seconds=1)
_STAR = "one of the day fields begins with a star, so that both have to match, as they do there"


@dataclass(frozen=True, slots=True)
class ImportedJob:
    """A definition, how its schedule was written there, and remarks: on this job alone, and on many."""

    definition: dict[str, Any]
    written_there: str
    remarks: tuple[str, ...]
    shared: tuple[str, ...]


def imported_job(job: StoredJob, now: datetime) -> ImportedJob:
    """Return the definition of a job.

    Raises:
        NotExpressible: no definition says the same.

    """
    schedule, there, about_schedule = _schedule(job.trigger, now)
    fields: dict[str, Any] = {
        "$comment": comment_of(job.id),
        "job_id": job_id_of(job.id),
        "description": job.name if job.name != job.command else "",
        **schedule,
        "enabled": False if job.is_paused else None,
        "timeout": job.timeout,
        "overlap": "allow" if job.max_instances > 1 else None,
        "catch_up": _catch_up(job),
        "jitter": job.trigger.jitter or None if isinstance(job.trigger, CronTrigger) else None,
        "task": {"type": "execute_command", "command": shell_command(job.command)},
    }
    definition = {name: value for name, value in fields.items() if value not in (None, "")}
    return ImportedJob(definition, there, (*_remarks(job), *about_schedule), tuple(_shared(job)))


def comment_of(job_id: str) -> str:
    """Return the `$comment` by which a further import knows the job again."""
    return f"imported from JobsManager: {job_id}"


def job_id_of(job_id: str) -> str:
    """Return an id here: the same one where it is allowed, else one made of it, always the same."""
    if _ID.fullmatch(job_id):
        return job_id
    stem = _NO_ID_CHARACTERS.sub("-", job_id).strip("-._")[:_MAX_ID_CHARS].rstrip("-._") or "job"
    return f"{stem}-{hashlib.sha256(job_id.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


# --- the schedule ------------------------------------------------------------------------------------------


def _schedule(trigger: CronTrigger | datetime, now: datetime) -> tuple[dict[str, Any], str, list[str]]:
    """Return the fields that decide the slots, how the trigger is written there, and remarks."""
    if isinstance(trigger, datetime):
        at = format_instant(trigger)
        past = ["its time has passed: the service will not run it"] if trigger <= now else []
        return {"schedule": at}, f"once at {at}", past
    text, zone = expression(trigger.fields), get_zone(trigger.zone)
    bounds = {"not_before": _first(trigger), "not_after": _last(trigger)}
    fields = {"schedule": text, "timezone": trigger.zone, **_instants(bounds)}
    different = describe(differences(trigger.fields, text, zone, now), zone)
    about_days = _STAR if has_star_for_both(crontab.parse(text)) else None
    return fields, ", ".join(theirs(trigger.fields)) or "every second", [one for one in (about_days, different) if one]


def _instants(bounds: dict[str, datetime | None]) -> dict[str, str]:
    return {name: format_instant(at) for name, at in bounds.items() if at is not None}


def _first(trigger: CronTrigger) -> datetime | None:
    """Return the first second that counts: of the start, and of the first year."""
    years = _years(trigger.fields["year"])
    year = None if years is None else datetime(years[0], 1, 1, tzinfo=get_zone(trigger.zone))
    start = trigger.start
    if start is not None and start.microsecond:
        start = start.replace(microsecond=0) + _SECOND
    return max((at for at in (start, year) if at is not None), default=None)


def _last(trigger: CronTrigger) -> datetime | None:
    """Return the last second that counts: of the end, and of the last year."""
    years = _years(trigger.fields["year"])
    zone = get_zone(trigger.zone)
    year = None if years is None else datetime(years[1], 12, 31, 23, 59, 59, tzinfo=zone)
    end = None if trigger.end is None else trigger.end.replace(microsecond=0)
    return min((at for at in (end, year) if at is not None), default=None)


def _years(field: Field) -> tuple[int, int] | None:
    """Return the first and the last of the years, None for all years."""
    if not field.is_restricted:
        return None
    first, last = min(field.values), max(field.values)
    if len(field.values) != last - first + 1:
        raise NotExpressible("its years have gaps, which no schedule has here", "write a job for each row of years")
    return first, last


# --- what is different -------------------------------------------------------------------------------------


def _catch_up(job: StoredJob) -> str | float | None:
    if job.grace is None:
        return _LONGEST_CATCH_UP
    return None if job.grace == USUAL_GRACE_S else job.grace


def _remarks(job: StoredJob) -> Iterator[str]:
    """Yield what is to be known about this job alone."""
    if job_id_of(job.id) != job.id:
        yield f"{quote(job.id)} is not an id here: 1 to 128 of `A-Z a-z 0-9 . _ -`, the first a letter or a digit"
    if job.is_paused:
        yield "it is paused there (`next_run_time` is NULL): here `enabled` is false"
    if job.command != shell_command(job.command):
        yield "JobsManager takes `&> /dev/null` at the end as an order to itself; `/bin/sh` is told the same"
    if job.max_instances > 1:
        yield f"there at most {job.max_instances} of its runs go on at once; here that has no limit"
    if job.executor != "default":
        yield f"its executor {quote(job.executor)} is left out: all runs share `--max-workers`"
    if not job.is_coalescing:
        yield "there each slot that was missed and is not too old runs; here the latest one does"
    if isinstance(job.trigger, CronTrigger) and job.trigger.jitter:
        yield "`jitter`: there a run starts at random within it; here always at the same moment of a slot"


def _shared(job: StoredJob) -> Iterator[str]:
    """Yield what is to be known about many jobs."""
    if job.grace == USUAL_GRACE_S:
        yield (
            "lateness: there a slot that is more than 1 s late is dropped (`misfire_grace_time`, which JobsManager "
            "leaves at 1); here the latest slot of an outage runs if it is at most 60 s old (`catch_up`)"
        )
    elif job.grace is None:
        yield f"lateness: there a slot runs however late it is; here if it is at most {_LONGEST_CATCH_UP} old"
    if isinstance(job.trigger, CronTrigger):
        yield (
            f"time zone: `{job.trigger.zone}` is that of the host on which JobsManager added the job; the `timezone` "
            "of its settings has no effect on triggers"
        )
