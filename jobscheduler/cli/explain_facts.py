"""Collect the facts for `explain`: from the service, the job files and the log."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler import tasks
from jobscheduler.cli.account_records import account_records
from jobscheduler.cli.job_files import parse_path
from jobscheduler.cli.log_files import LogUnavailable, host_zone, require_log
from jobscheduler.config import Settings
from jobscheduler.config.job_context import job_context
from jobscheduler.explain import (
    JOB_KINDS,
    SERVICE_KINDS,
    Facts,
    LogEvidence,
    Overdue,
    Question,
    RuntimeState,
    collect_evidence,
)
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.model import SLOT_FIELDS, Job, Pause, Problem
from jobscheduler.model.log_line import RECORD_KINDS, Line, parse_instant
from jobscheduler.model.selection import Selector
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import CLOCK_SLACK, LogFilter
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.query import iter_lines_newest_first
from jobscheduler.status.snapshot import JobState
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util.user_names import name_of_user

_OF_THE_SCHEDULE = ("job_id", "schedule", "timezone", "enabled", "tags", *SLOT_FIELDS)
_HARMLESS = {"type": "execute_command", "command": "true"}
_MAX_FILE_BYTES = 1024 * 1024  # larger job files are not searched for ids
_ANY_ID = re.compile(rb'"job_id"\s*:\s*"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"')
_NAMING_A_FILE = frozenset({"job.added", "job.updated", "job.removed", "job.expired", "job.stale", "job.mended"})

# --- the definition --------------------------------------------------------------------------------------


def facts_from_service(answer: Mapping[str, Any], settings: Settings) -> Facts:
    """Build facts from the service's answer about a job: the object that `fetch_job` returns."""
    zone = _zone(answer.get("timezone"))
    state = RuntimeState(
        str(answer.get("state", "")),
        tuple(_pause(pause) for pause in answer.get("pauses") or ()),
        bool(answer.get("stale")),
        tuple(_pairs(run) for run in answer.get("active_runs") or ()),
        tuple((_instant(slot["scheduled"]), _instant(slot["start"])) for slot in answer.get("next") or ()),
        tuple((_instant(span["first"]), _instant(span["last"])) for span in answer.get("decided_ahead") or ()),
        answer.get("failures") or 0,
        _instant_or_none(answer.get("failing_since")),
        _overdue(answer),
    )
    file, last = str(answer.get("file") or ""), answer.get("last")
    return Facts(
        LogEvidence(last=parse_line(json.dumps(last).encode()) if last else None),
        zone,
        _job(answer.get("definition"), zone),
        state,
        problems=tuple(_problem(problem) for problem in answer.get("problems") or ()),
        file=file,
        written=_written_at(settings.jobs_dir / file) if file else None,
    )


def _overdue(answer: Mapping[str, Any]) -> Overdue | None:
    since = _instant_or_none(answer.get("overdue_since"))
    if since is None:
        return None
    within = (answer.get("definition") or {}).get("success_within")
    last, in_force = answer.get("last_success"), answer.get("in_force_since")
    return Overdue(since, within, _instant_or_none(last), _instant_or_none(in_force))


def _job(definition: object, zone: ZoneInfo) -> Job | None:
    """Parse the fields of a definition that decide its slots, with a harmless task in place of its own."""
    if not isinstance(definition, dict):
        return None
    needed = {name: definition[name] for name in _OF_THE_SCHEDULE if name in definition}
    rules = ParseContext(zone, tasks.task_type, tasks.task_names())
    verdict = parse(json.dumps({**needed, "task": _HARMLESS}).encode(), "", rules)
    return verdict if isinstance(verdict, Job) else None


def _zone(name: object) -> ZoneInfo:
    try:
        return get_zone(str(name))
    except UnknownTimezone:
        return host_zone()


def _pairs(run: Mapping[str, Any]) -> dict[str, str]:
    """Convert a run in the service's answer to the pairs of a log line."""
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in run.items()
        if value is not None
    }


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)


def _pause(pause: Mapping[str, Any]) -> Pause:
    until = None if pause["until"] is None else _instant(pause["until"])
    by = name_of_user(pause["by"]) if pause["by"] else ""
    return Pause(pause["pause"], Selector(pause["jobs"]), _instant(pause["since"]), until, pause["reason"], by)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _problem(problem: Mapping[str, Any]) -> Problem:
    return Problem(
        str(problem.get("message", "")),
        file=str(problem.get("file") or ""),
        line=problem.get("line"),
        column=problem.get("column"),
        notes=tuple(problem.get("notes") or ()),
        help=problem.get("help"),
    )


def facts_from_files(job_id: str, settings: Settings, listed: Iterable[Mapping[str, Any]] | None = None) -> Facts:
    """Build facts from the job files, for a job that the service does not know, or without the service.

    `listed` is the service's list of jobs, None without an answer. That list decides which files are refused. A job
    that is missing from it is not active.

    Raises:
        UnknownTimezone: the zone of the service cannot be determined.

    """
    rules, refused = job_context(settings), _refused_files(listed or ())
    known = tuple(sorted(job["job_id"] for job in listed or () if job["job_id"]))
    facts = Facts(LogEvidence(), rules.zone, was_asked=listed is not None, known=known)
    for names in _names(job_id, settings):
        may_be_its_own = names if listed is None else names & refused.keys()
        for path in _files_of(job_id, settings.jobs_dir, may_be_its_own):
            facts = _with_file(facts, job_id, path, rules, refused.get(path.name, ()))
            if facts.job is not None:
                return facts
        if facts.problems:
            break
    return facts


def _refused_files(listed: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Problem, ...]]:
    """Return the problems of each file that the service refuses."""
    return {
        job["file"]: tuple(_problem(problem) for problem in job["problems"])
        for job in listed
        if job["state"] == JobState.REFUSED
    }


def _names(job_id: str, settings: Settings) -> Iterator[frozenset[str]]:
    """Yield possible names of the job's file, the likeliest first, for a file whose id cannot be read."""
    yield frozenset({job_id, f"{job_id}.json"})
    try:
        lines = iter_lines_newest_first(settings.log_file, settings.log_backups, LogFilter(job_id, _NAMING_A_FILE))
        yield frozenset(line["file"] for line in islice(lines, 1) if "file" in line)
    except OSError:  # without a readable log there is no hint
        return


def _with_file(facts: Facts, job_id: str, path: Path, rules: ParseContext, refused: tuple[Problem, ...]) -> Facts:
    """Add the definition or the problems of a file; problems from the service take precedence."""
    for verdict in parse_path(path, rules):
        if not isinstance(verdict, Job):
            is_the_same = [problem.message for problem in verdict] == [problem.message for problem in refused]
            problems = verdict if is_the_same or not refused else refused
            facts = replace(facts, problems=facts.problems or problems, file=facts.file or path.name)
        elif refused:
            facts = replace(facts, problems=facts.problems or refused, file=facts.file or path.name)
        elif verdict.id == job_id and not facts.was_asked:
            zone = _zone(getattr(verdict.schedule, "timezone", rules.zone.key))
            return replace(facts, job=verdict, zone=zone, problems=(), file=path.name, written=_written_at(path))
    return facts


def _files_of(job_id: str, directory: Path, names: Container[str]) -> Iterator[Path]:
    """Yield the job files that contain the id, and those with one of the names that contain no id."""
    naming = re.compile(rb'"job_id"\s*:\s*"' + re.escape(job_id.encode("utf-8", "replace")) + rb'"')
    try:
        files = sorted(directory.iterdir())
    except OSError:  # the report says by itself that the directory cannot be read
        return
    for path in files:
        if is_job_file(path.name):
            raw = _content(path)
            if naming.search(raw) or (path.name in names and not _ANY_ID.search(raw)):
                yield path


def _content(path: Path) -> bytes:
    """Return the content of a file; empty if it cannot be read or is too large."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _MAX_FILE_BYTES else b""
    except OSError:
        return b""


def _written_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_ctime, UTC)
    except OSError:  # the file has just been removed
        return None


# --- the log ---------------------------------------------------------------------------------------------


def add_log_facts(facts: Facts, question: Question, settings: Settings, *, of_node: bool = False) -> Facts:
    """Add the evidence of the log, and ids to suggest when the job is unknown.

    With `of_node` records are those of all nodes of a cluster, which its service reads; the log has the rest.
    """
    try:
        require_log(settings)
        story = _story(facts, question, settings, of_node=of_node)
        known = _ids(settings) if facts.job is None else ()
    except (LogUnavailable, OSError):
        return facts
    return replace(facts, evidence=story, known=(*facts.known, *known))


def _story(facts: Facts, question: Question, settings: Settings, *, of_node: bool) -> LogEvidence:
    log, at = (settings.log_file, settings.log_backups), question.at
    if at is not None and at <= question.now:
        since = at - CLOCK_SLACK  # a slot is logged after its time, unless the clock was set back
        of_the_job = iter_lines_newest_first(*log, LogFilter(question.job_id, JOB_KINDS, since))
        of_the_service = iter_lines_newest_first(*log, LogFilter(kinds=SERVICE_KINDS, since=since))
        shared = _shared_records(question.job_id, since, settings) if of_node else ()
        found = collect_evidence(at, chain(shared, of_the_job), of_the_service, query.oldest_time(*log))
        return replace(found, paused=_pause_of(found.record, at, question.job_id, facts.job, log))
    if facts.job is None:
        return collect_evidence(None, iter_lines_newest_first(*log, LogFilter(question.job_id, JOB_KINDS)))
    return LogEvidence(
        last=facts.evidence.last or next(iter_lines_newest_first(*log, LogFilter(question.job_id, RECORD_KINDS)), None)
    )


def _shared_records(job_id: str, since: datetime, settings: Settings) -> Iterator[Line]:
    """Yield the records of a job on all nodes, the newest first; none if they cannot be read, which is said."""
    records = account_records(settings.socket, LogFilter(job_id, since=since))
    return iter(()) if records is None else (line.pairs for line in records.newest_first())


def _pause_of(record: Line | None, slot: datetime, job_id: str, job: Job | None, log: tuple[Path, int]) -> Line | None:
    """Find the line about the pause that a slot was skipped for, None if it was not; its user as people know it."""
    if record is None or record["word"] != "SKIPPED" or record.get("reason") != "paused":
        return None
    wanted = LogFilter(kinds=frozenset({"job.paused"}), until=parse_instant(record, "time"))
    for line in iter_lines_newest_first(*log, wanted):
        selects = Selector(line.get("jobs") or line.get("job_id", ""))
        end = parse_instant(line, "until")
        if selects.matches(job_id, () if job is None else job.tags) and (end is None or slot < end):
            return {**line, "by": name_of_user(line["by"])} if line.get("by") else line
    return None


def _ids(settings: Settings) -> tuple[str, ...]:
    return tuple(sorted(query.recent_job_ids(settings.log_file, settings.log_backups)))
