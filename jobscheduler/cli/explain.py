"""`explain`: why a job did or did not run at a time, or when it will run next."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler.cli.account_records import is_of_node
from jobscheduler.cli.client_helpers import api_path
from jobscheduler.cli.explain_facts import add_log_facts, facts_from_files, facts_from_service
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem, problem_json
from jobscheduler.cli.table import terminal_width
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.verbs import VERBS
from jobscheduler.cli.waiting_rules import waiting_rules_note
from jobscheduler.cli.wrapping import wrap
from jobscheduler.config import Settings
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.explain import Answer, Facts, Question, explain
from jobscheduler.model import Problem
from jobscheduler.runlog.parse import typed_pairs
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import ScheduleError
from jobscheduler.util.instants import format_instant, utc_now
from jobscheduler.util.standard_output import is_standard_output
from jobscheduler.util.terminal_text import printable

EXAMPLES = """examples:
  jobscheduler explain report-001
  jobscheduler explain report-001 --at 02:30
  jobscheduler explain report-001 --at '2026-11-22 01:00'
  jobscheduler explain report-001 --at 2026-11-22T00:00:00Z --json

A time without an offset is one of the job's zone. The answer comes from the running service and from the log. When
the service cannot be reached, a slot that has a record in the log is still explained. For anything else the answer is
what the job file and the log say, and the exit status is 3.
Exit status: 0 answered, 1 there is no such job or its definition is refused, 2 wrong usage, 3 service not reachable."""

_AT = "the time to explain: `02:30`, `yesterday 14:30`, an ISO 8601 time, how long ago (default: from now on)"

# What can be done about an answer: verbs, with what follows the id.
_ACTIONS = {
    "failed": (("output", ""), ("run", " --wait"), ("history", " -n 10")),
    "running": (("output", " -f"), ("stop", "")),
    "paused": (("resume", ""), ("run", "")),
    "disabled": (("run", ""),),
    "expired": (("run", ""),),
    "done": (("run", ""),),
    "skipped": (("run", ""), ("history", " -n 10")),
    "missed": (("run", ""), ("history", " -n 10")),
}


def fetch_job(job_id: str, settings: Settings) -> dict[str, Any] | None:
    """Return the answer of the running service about a job; None if it does not know the job.

    Raises:
        ServiceUnreachable: no service answers.

    """
    try:
        answer = request(settings.socket, "GET", api_path("jobs", job_id))
    except ApiError:  # it answers, and knows no such job
        return None
    return {**answer, "next": answer["upcoming"]}


def fetch_jobs(settings: Settings) -> list[dict[str, Any]]:
    """Return the jobs and refused files of the running service; empty if it does not answer."""
    try:
        return list(request(settings.socket, "GET", api_path("jobs"))["jobs"])
    except (ApiError, ServiceUnreachable):  # the explanation then goes by the files alone
        return []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, the time and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help=_AT,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser, {"jobs_dir", "log_file", "log_backups", "timezone", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; report a missing answer on standard error."""
    settings, now = settings_of_service(arguments, ()), utc_now()
    facts, unreachable = _asked(arguments.job, settings)
    at, notes = _time(arguments.at, facts.zone, now)
    further = (waiting_rules_note(settings, {facts.zone.key}), _no_file_note(settings))
    question = Question(arguments.job, now, at, (*notes, *filter(None, further)))
    of_node = arguments.log_file is None and is_of_node(settings.socket)
    answer = explain(question, add_log_facts(facts, question, settings, of_node=of_node))
    if arguments.json:
        print(json.dumps(_as_object(question, answer)))
    elif answer.code != "unknown":
        _print(answer, arguments.job)
    return _status(answer, None if answer.is_final else unreachable)


def _no_file_note(settings: Settings) -> str | None:
    """Return a note if there is no log file to search."""
    if not is_standard_output(settings.log_file):
        return None
    return "the service writes its log to standard output alone: there is no file that says what ran before"


def _asked(job_id: str, settings: Settings) -> tuple[Facts, ServiceUnreachable | None]:
    """Return facts from the service, or from the job files if it does not know the job."""
    try:
        answer = fetch_job(job_id, settings)
    except ServiceUnreachable as reason:
        return facts_from_files(job_id, settings), reason
    if answer is not None:
        return facts_from_service(answer, settings), None
    return facts_from_files(job_id, settings, fetch_jobs(settings)), None


def _status(answer: Answer, lacking: ServiceUnreachable | None) -> int:
    """Return the exit status; report on standard error why the answer is incomplete."""
    is_unknown = answer.code == "unknown"
    if lacking is not None:
        print_problem(replace(lacking.problem, notes=answer.sentences if is_unknown else ()), sys.stderr)
        return 3
    if is_unknown:
        headline, *notes = answer.sentences
        print_problem(Problem(headline, notes=tuple(notes), help=answer.help), sys.stderr)
    return 1 if answer.code in {"unknown", "refused"} else 0


def _time(text: str | None, zone: ZoneInfo, now: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """Parse the time. One that the clock skips or shows twice becomes its first possible instant, with a note."""
    try:
        return parse_when(text, "--at", zone, now), ()
    except ArgumentProblem:
        suggestion = _first_instant(text or "", zone)
        if suggestion is None:
            raise
        return suggestion


def _first_instant(text: str, zone: ZoneInfo) -> tuple[datetime, tuple[str, ...]] | None:
    """Return the first instant of a refused time that would be valid with an offset, and why it was refused."""
    try:
        crontab.parse_instant(text, zone)
    except ScheduleError as refused:
        if refused.suggestion is not None and _is_complete(text):
            note = f"{refused}; the answer is about `{refused.suggestion}`"
            return crontab.parse_instant(refused.suggestion, zone), (note,)
    return None


def _is_complete(text: str) -> bool:
    """Return whether a refused time would be valid with an offset."""
    try:
        crontab.parse_instant(f"{text}Z", ZoneInfo("UTC"))
    except ScheduleError:  # not a time at all: its own message says so
        return False
    return True


# --- printing -----------------------------------------------------------------------------------------


def _print(answer: Answer, job_id: str) -> None:
    """Print the answer first, then what is behind it, and what can be done."""
    width = terminal_width()
    headline, *others = answer.sentences
    _print_sentences(headline, width)
    for sentence in others:
        _print_sentences(sentence, width, "  ")
    if answer.help:
        _print_sentences(f"help: {answer.help}", width, "  ")
    if verbs := " or ".join(f"`jobscheduler {verb}`" for verb in _what_can_be_done(answer, job_id)):
        _print_sentences(f"what can be done: {verbs}", width, "  ")
    for problem in answer.problems:
        print()
        print_problem(problem, sys.stdout)


def _what_can_be_done(answer: Answer, job_id: str) -> Iterator[str]:
    """Yield the commands that help with an answer, or with the failure before it; those of verbs that there are."""
    has_failed = answer.code == "due" and answer.record is not None and answer.record["word"] == "FAILURE"
    for verb, options in _ACTIONS.get("failed" if has_failed else answer.code, ()):
        if verb in VERBS:
            yield f"{verb} {job_id}{options}"


def _print_sentences(sentence: str, width: int | None, margin: str = "") -> None:
    """Print a sentence, wrapped at words; indent the lines of a job's output below it."""
    first, *others = sentence.splitlines()
    for line in wrap(printable(first), width, indent=margin):
        print(line)
    for line in others:
        print(f"{margin}  {printable(line)}")


def _as_object(question: Question, answer: Answer) -> dict[str, Any]:
    return {
        "job_id": question.job_id,
        "at": _utc(question.at),
        "answer": answer.code,
        "sentences": list(answer.sentences),
        "record": None if answer.record is None else typed_pairs(answer.record),
        "next": [_utc(slot) for slot in answer.next],
        "problems": [problem_json(problem, "error") for problem in answer.problems],
        "help": answer.help,
    }


def _utc(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)
