"""`explain`: why a job did or did not run at a time, or when it will run next."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jobscheduler import crontab, tasks
from jobscheduler.cli.asking import as_the_service_has_it
from jobscheduler.cli.files import definitions, rules_of
from jobscheduler.cli.history import check_log, zone_of_host
from jobscheduler.cli.instants import Wrong, about
from jobscheduler.cli.options import add_options, settings_of
from jobscheduler.cli.problems import as_object, show
from jobscheduler.cli.table import printable
from jobscheduler.config import Settings
from jobscheduler.control import Refusal, Unreachable, ask
from jobscheduler.crontab import Refused
from jobscheduler.explain import JOB_WORDS, SERVICE_WORDS, Answer, Facts, Live, Question, Story, explain, story_of
from jobscheduler.model import Job, Problem
from jobscheduler.parse import Rules, parse
from jobscheduler.runlog import history
from jobscheduler.runlog.history import Wanted, lines_back
from jobscheduler.runlog.parsing import RECORDS, parse_line
from jobscheduler.sources.directory import is_job_file
from jobscheduler.zone import ZoneUnknown, named_zone

SUMMARY = "say why a job did or did not run at a time, or when it will run next"
EXAMPLES = """examples:
  jobscheduler explain report-001
  jobscheduler explain report-001 --at '2026-11-22 01:00'
  jobscheduler explain report-001 --at 2026-11-22T00:00:00Z --json

A time without an offset is one of the job's zone. The answer comes from the running service and from the log. When
the service cannot be reached, a slot that has a record in the log is explained all the same; for anything else what
the job file and the log say is shown, and the exit status is 3.
Exit status: 0 answered, 1 there is no such job or its definition is refused, 2 wrong usage, 3 service not reachable."""

_OF_THE_SCHEDULE = ("job_id", "schedule", "timezone", "enabled", "overlap", "catch_up", "jitter", "not_before")
_HARMLESS = {"type": "execute_command", "command": "true"}
_LARGEST = 1024 * 1024


def live(job_id: str, settings: Settings) -> dict[str, Any] | None:
    """Return what the running service says of a job, None if it knows no such job.

    Raises:
        Unreachable: no service answers.

    """
    try:
        told = ask(settings.socket, "GET", f"/v1/jobs/{quote(job_id, safe='')}")
    except Refusal:
        return None
    return {**told, "next": told["upcoming"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, the time and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    parser.add_argument("--at", metavar="TIME", help="the time that is asked about, in ISO 8601 (default: from now on)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser, {"jobs_dir", "log_file", "log_backups", "timezone", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; that there is none goes to standard error."""
    settings, now = as_the_service_has_it(settings_of(arguments)), datetime.now(UTC)
    try:
        known = _known(arguments.job, settings)
        at, notes = _time(arguments.at, known.zone)
    except Wrong as wrong:
        show(wrong.problem, sys.stderr)
        return 1
    question = Question(arguments.job, now, at, notes)
    answer = explain(question, _with_the_log(known.facts, question, settings, known.last))
    if arguments.json:
        print(json.dumps(_as_object(question, answer)))
    elif answer.word != "unknown":
        _print(answer)
    return _status(answer, None if answer.is_settled else known.unreachable)


def _status(answer: Answer, lacking: Unreachable | None) -> int:
    """Return the exit status; say on standard error what is in the way of a better answer."""
    is_unknown = answer.word == "unknown"
    if lacking is not None:
        show(replace(lacking.problem, notes=answer.sentences if is_unknown else ()), sys.stderr)
        return 3
    if is_unknown:
        headline, *notes = answer.sentences
        show(Problem(headline, notes=tuple(notes), help=answer.help), sys.stderr)
    return 1 if answer.word in {"unknown", "refused"} else 0


def _time(text: str | None, zone: ZoneInfo) -> tuple[datetime | None, tuple[str, ...]]:
    """Read the time; one that the clock skips or shows twice is taken for the first instant it can mean, and said."""
    if text is None:
        return None, ()
    try:
        return crontab.parse_instant(text, zone), ()
    except Refused as refused:
        if refused.instead is None or not _is_complete(text):
            raise Wrong(about(refused, text, "--at")) from None
        return crontab.parse_instant(refused.instead, zone), (f"{refused}; this is about `{refused.instead}`",)


def _is_complete(text: str) -> bool:
    """Tell whether only the zone stands against a time, which it would not if it had an offset."""
    try:
        crontab.parse_instant(f"{text}Z", ZoneInfo("UTC"))
    except Refused:
        return False
    return True


# --- the definition --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a job before the log is looked at."""

    facts: Facts
    last: Mapping[str, str] | None = None
    unreachable: Unreachable | None = None

    @property
    def zone(self) -> ZoneInfo:
        return self.facts.zone


def _known(job_id: str, settings: Settings) -> _Known:
    unreachable = None
    try:
        told = live(job_id, settings)
    except Unreachable as reason:
        told, unreachable = None, reason
    return _as_told(told, settings) if told is not None else _as_in_files(job_id, settings, unreachable)


def _as_told(told: Mapping[str, Any], settings: Settings) -> _Known:
    """Take what the service says."""
    zone = _zone(told.get("timezone"))
    state = Live(
        str(told.get("state", "")),
        bool(told.get("paused")),
        bool(told.get("stale")),
        tuple(_pairs(run) for run in told.get("going") or ()),
        tuple((_instant(one["scheduled"]), _instant(one["start"])) for one in told.get("next") or ()),
    )
    file = str(told.get("file") or "")
    facts = Facts(
        Story(),
        zone,
        _job(told.get("definition"), zone),
        state,
        problems=tuple(_problem(one) for one in told.get("problems") or ()),
        file=file,
        written=_written(settings.jobs_dir / file) if file else None,
    )
    last = told.get("last")
    return _Known(facts, parse_line(json.dumps(last).encode()) if last else None)


def _job(definition: object, zone: ZoneInfo) -> Job | None:
    """Read as much of a definition as decides its slots; whether its task could run here does not matter."""
    if not isinstance(definition, dict):
        return None
    needed = {name: definition[name] for name in (*_OF_THE_SCHEDULE, "not_after") if name in definition}
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


def _as_in_files(job_id: str, settings: Settings, unreachable: Unreachable | None) -> _Known:
    """Take what the job files say. A service that was asked and knows no such job is believed."""
    rules = rules_of(settings)
    facts = Facts(Story(), rules.zone, was_asked=unreachable is None)
    for path in _files_naming(job_id, settings.jobs_dir):
        for verdict in definitions(path, rules):
            if not isinstance(verdict, Job):
                facts = replace(facts, problems=facts.problems or verdict, file=facts.file or path.name)
            elif verdict.id == job_id and unreachable is not None:
                zone = _zone(getattr(verdict.schedule, "timezone", rules.zone.key))
                found = replace(facts, job=verdict, zone=zone, problems=(), file=path.name, written=_written(path))
                return _Known(found, None, unreachable)
    return _Known(facts, None, unreachable)


def _files_naming(job_id: str, directory: Path) -> Iterator[Path]:
    """Find the job files in which an id occurs; only they are read as definitions."""
    try:
        files = sorted(directory.iterdir())
    except OSError:
        return
    for path in files:
        if is_job_file(path.name) and _holds(path, f'"{job_id}"'.encode()):
            yield path


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST and text in path.read_bytes()
    except OSError:
        return False


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_ctime, UTC)
    except OSError:
        return None


# --- the log ---------------------------------------------------------------------------------------------


def _with_the_log(facts: Facts, question: Question, settings: Settings, last: Mapping[str, str] | None) -> Facts:
    """Add what the log says, and the ids that may be meant when nothing is known of the job."""
    try:
        check_log(settings)
        story = _story(facts, question, settings, last)
        known = _ids(settings) if facts.job is None else ()
    except (Wrong, OSError):
        return replace(facts, story=Story(last=last))
    return replace(facts, story=story, known=known)


def _story(facts: Facts, question: Question, settings: Settings, last: Mapping[str, str] | None) -> Story:
    log, at = (settings.log_file, settings.log_backups), question.at
    if at is not None and at <= question.now:
        since = at - history.SLACK  # what became of a slot is told later than it, but for a clock that was set back
        of_the_job = lines_back(*log, Wanted(question.job_id, JOB_WORDS, since))
        of_the_service = lines_back(*log, Wanted(words=SERVICE_WORDS, since=since))
        return story_of(at, of_the_job, of_the_service, history.begins_at(*log))
    if facts.job is None:
        return story_of(None, lines_back(*log, Wanted(question.job_id, JOB_WORDS)))
    return Story(last=last or next(lines_back(*log, Wanted(question.job_id, RECORDS)), None))


def _ids(settings: Settings) -> tuple[str, ...]:
    return tuple(sorted(history.recent_ids(settings.log_file, settings.log_backups)))


# --- how it is printed ---------------------------------------------------------------------------------


def _print(answer: Answer) -> None:
    headline, *others = answer.sentences
    _say([headline, *(f"  {sentence}" for sentence in others)])
    if answer.help:
        _say([f"  help: {answer.help}"])
    for problem in answer.problems:
        print()
        show(problem, sys.stdout)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(line))


def _as_object(question: Question, answer: Answer) -> dict[str, Any]:
    return {
        "job_id": question.job_id,
        "at": _utc(question.at),
        "answer": answer.word,
        "sentences": list(answer.sentences),
        "record": answer.record,
        "next": [_utc(slot) for slot in answer.next],
        "problems": [as_object(problem, "error") for problem in answer.problems],
        "help": answer.help,
    }


def _utc(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
