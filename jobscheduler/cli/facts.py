"""What `explain` reasons from: what the service says of a job, what its file says, and what the log says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler import tasks
from jobscheduler.cli.files import definitions, rules_of
from jobscheduler.cli.history import NoLog, check_log, zone_of_host
from jobscheduler.config import Settings
from jobscheduler.explain import JOB_WORDS, SERVICE_WORDS, Facts, Live, Question, Story, story_of
from jobscheduler.model import Job, Problem
from jobscheduler.parse import Rules, parse
from jobscheduler.runlog import history
from jobscheduler.runlog.history import lines_back
from jobscheduler.runlog.parsing import RECORDS, parse_line
from jobscheduler.runlog.wanted import SLACK, Wanted
from jobscheduler.sources.directory import is_job_file
from jobscheduler.zone import ZoneUnknown, named_zone

_OF_THE_SCHEDULE = ("job_id", "schedule", "timezone", "enabled", "catch_up", "jitter", "not_before", "not_after")
_HARMLESS = {"type": "execute_command", "command": "true"}
_LARGEST = 1024 * 1024

# --- the definition --------------------------------------------------------------------------------------


def told_by_the_service(told: Mapping[str, Any], settings: Settings) -> Facts:
    """Take what the service says of a job: the object that `explain.live` returns."""
    zone = _zone(told.get("timezone"))
    state = Live(
        str(told.get("state", "")),
        bool(told.get("paused")),
        bool(told.get("stale")),
        tuple(_pairs(run) for run in told.get("going") or ()),
        tuple((_instant(one["scheduled"]), _instant(one["start"])) for one in told.get("next") or ()),
    )
    file, last = str(told.get("file") or ""), told.get("last")
    return Facts(
        Story(last=parse_line(json.dumps(last).encode()) if last else None),
        zone,
        _job(told.get("definition"), zone),
        state,
        problems=tuple(_problem(one) for one in told.get("problems") or ()),
        file=file,
        written=_written(settings.jobs_dir / file) if file else None,
    )


def _job(definition: object, zone: ZoneInfo) -> Job | None:
    """Read as much of a definition as decides its slots; whether its task could run here does not matter."""
    if not isinstance(definition, dict):
        return None
    needed = {name: definition[name] for name in _OF_THE_SCHEDULE if name in definition}
    rules = Rules(zone, tasks.task_type, tasks.task_names())
    verdict = parse(json.dumps({**needed, "task": _HARMLESS}).encode(), "", rules)
    return verdict if isinstance(verdict, Job) else None


def _zone(name: object) -> ZoneInfo:
    try:
        return named_zone(str(name))
    except ZoneUnknown:
        return zone_of_host()


def _pairs(told: Mapping[str, Any]) -> dict[str, str]:
    """Take what the service says of a run as the pairs of a line."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in told.items()
        if value is not None
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _problem(told: Mapping[str, Any]) -> Problem:
    return Problem(
        str(told.get("message", "")),
        file=str(told.get("file") or ""),
        line=told.get("line"),
        column=told.get("column"),
        help=told.get("help"),
    )


def found_in_files(job_id: str, settings: Settings, *, was_asked: bool) -> Facts:
    """Take what the job files say. A service that was asked and knows no such job is believed.

    Raises:
        ZoneUnknown: the zone that the service would have cannot be told.

    """
    rules = rules_of(settings)
    facts = Facts(Story(), rules.zone, was_asked=was_asked)
    for path in _files_of(job_id, settings.jobs_dir):
        for verdict in definitions(path, rules):
            if not isinstance(verdict, Job):
                facts = replace(facts, problems=facts.problems or verdict, file=facts.file or path.name)
            elif verdict.id == job_id and not was_asked:
                zone = _zone(getattr(verdict.schedule, "timezone", rules.zone.key))
                return replace(facts, job=verdict, zone=zone, problems=(), file=path.name, written=_written(path))
    return facts


def _files_of(job_id: str, directory: Path) -> Iterator[Path]:
    """Find the job files that name an id as theirs; only they are read as definitions."""
    naming = re.compile(rb'"job_id"\s*:\s*"' + re.escape(job_id.encode("utf-8", "replace")) + rb'"')
    try:
        files = sorted(directory.iterdir())
    except OSError:
        return
    for path in files:
        if is_job_file(path.name) and _holds(path, naming):
            yield path


def _holds(path: Path, naming: re.Pattern[bytes]) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST and bool(naming.search(path.read_bytes()))
    except OSError:
        return False


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_ctime, UTC)
    except OSError:
        return None


# --- the log ---------------------------------------------------------------------------------------------


def with_the_log(facts: Facts, question: Question, settings: Settings) -> Facts:
    """Add what the log says, and the ids that may be meant when nothing is known of the job."""
    try:
        check_log(settings)
        story = _story(facts, question, settings)
        known = _ids(settings) if facts.job is None else ()
    except (NoLog, OSError):
        return facts
    return replace(facts, story=story, known=known)


def _story(facts: Facts, question: Question, settings: Settings) -> Story:
    log, at = (settings.log_file, settings.log_backups), question.at
    if at is not None and at <= question.now:
        since = at - SLACK  # what became of a slot is told later than it, but for a clock that was set back
        of_the_job = lines_back(*log, Wanted(question.job_id, JOB_WORDS, since))
        of_the_service = lines_back(*log, Wanted(words=SERVICE_WORDS, since=since))
        return story_of(at, of_the_job, of_the_service, history.begins_at(*log))
    if facts.job is None:
        return story_of(None, lines_back(*log, Wanted(question.job_id, JOB_WORDS)))
    return Story(last=facts.story.last or next(lines_back(*log, Wanted(question.job_id, RECORDS)), None))


def _ids(settings: Settings) -> tuple[str, ...]:
    return tuple(sorted(history.recent_ids(settings.log_file, settings.log_backups)))
