"""`import crontab`: make job files from crontabs, and say of each line what became of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jobscheduler.cli import cutover
from jobscheduler.cli.crontab_files import CrontabFile, WantedForm, read_crontabs
from jobscheduler.cli.import_lines import Judge, State, Verdict
from jobscheduler.cli.import_report import print_notes, print_verdict, shared_remarks, summary, verdict_json
from jobscheduler.cli.import_target import read_target, write_or_explain
from jobscheduler.cli.log_files import host_zone
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem, problem_json
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.usage import refuse_both
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config.job_context import job_context
from jobscheduler.imports.crontab_job import Wishes
from jobscheduler.model import Problem
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.util.instants import format_instant, utc_now

EXAMPLES = """examples:
  jobscheduler import crontab /etc/crontab /etc/cron.d
  jobscheduler import crontab /etc/cron.d/backup --to /etc/scheduler/jobs.d --from 22:00
  crontab -l | jobscheduler import crontab - --owner anna --to /etc/scheduler/jobs.d

Without `--to` the job files are printed. /etc/crontab and /etc/cron.d have a user before each command, cron's spool has
not; of other files the content decides, or `--user-column` and `--owner`. Each line gets a verdict: written, unchanged,
kept (the file differs: `--force`), or refused with the reason and the way out. A second import gives the same ids.
With `--from TIME` the jobs count from that time on, and it is said until when cron has to have the lines, and how they
are taken out: so no slot is lost and none runs twice. cron itself is never touched.
Exit status: 0 fine, 1 a line or a file was refused or kept, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the tables and the options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="crontabs, directories of them, or `-`")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write the job files there; without it they are printed")
    parser.add_argument("--from", dest="start", metavar="TIME", help="the jobs count from this time on: `22:00`, `2h`")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, and print the files")
    parser.add_argument("--force", action="store_true", help="overwrite job files that differ")
    parser.add_argument("--owner", metavar="NAME", help="the tables are of this user, as those of `crontab -l`")
    parser.add_argument("--user-column", action="store_true", help="a user stands before each command")
    alert = "mail to `MAILTO` with this program when a job fails and works again (docs/alerts.md has one)"
    parser.add_argument("--mail-alert", metavar="PROGRAM", help=alert)
    zone = "the time zone in which cron reads the tables; that of this host by default"
    parser.add_argument("--cron-timezone", metavar="ZONE", help=zone)
    parser.add_argument("--ignore-cron-tz", action="store_true", help="ignore `CRON_TZ`, as Debian's cron does")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each line")
    add_options(parser, {"timezone", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Import the tables; print the verdicts."""
    now = utc_now()
    start = _start(arguments, now)
    wanted = _wanted_form(arguments)
    zone = _zone_of_cron(arguments)
    not_before = None if start is None else format_instant(start)
    wishes = Wishes(_mail_alert(arguments), not_before, not arguments.ignore_cron_tz)
    rules = job_context(settings_of_service(arguments, {"timezone"}))
    tables, problems = _tables(arguments.files, wanted)
    judge = Judge(wishes, zone, rules, read_target(arguments.to), now, arguments.force)
    verdicts = list(judge.verdicts(tables))
    is_dry = arguments.dry_run or arguments.to is None
    if not is_dry:
        _write(arguments.to, verdicts)
    if arguments.json:
        _print_json(verdicts, problems, is_dry=is_dry)
    else:
        _print(verdicts, problems, arguments.to, is_dry=is_dry)
        if start is not None or not is_dry:
            _print_cutover(verdicts, start, now)
    is_bad = any(verdict.state in {State.REFUSED, State.KEPT} for verdict in verdicts)
    return 1 if is_bad or any(not problem.is_lint for problem in problems) else 0


# --- the arguments -----------------------------------------------------------------------------------------


def _start(arguments: argparse.Namespace, now: datetime) -> datetime | None:
    """Return the full minute from which the jobs count."""
    start = parse_when(arguments.start, "--from", host_zone(), now, is_ahead=True)
    if start is None or (start.second, start.microsecond) == (0, 0):
        return start
    return start.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _wanted_form(arguments: argparse.Namespace) -> WantedForm:
    if arguments.user_column and arguments.owner is not None:
        refuse_both("--user-column", "--owner")
    if arguments.owner is not None:
        if not arguments.owner or not arguments.owner.isprintable():
            raise ArgumentProblem(Problem("`--owner` is empty", help="name the user whose table it is"))
        return WantedForm(False, arguments.owner)
    return WantedForm(True) if arguments.user_column else WantedForm()


def _zone_of_cron(arguments: argparse.Namespace) -> ZoneInfo:
    if arguments.cron_timezone is None:
        return host_zone()
    try:
        return get_zone(arguments.cron_timezone)
    except UnknownTimezone as unknown:
        raise ArgumentProblem(Problem(f"`--cron-timezone`: {unknown}", help=unknown.help)) from None


def _mail_alert(arguments: argparse.Namespace) -> str | None:
    program: str | None = arguments.mail_alert
    if program is not None and not program.startswith("/"):
        raise ArgumentProblem(Problem("`--mail-alert` needs the path of the program", help="write it from `/` on"))
    return program


def _tables(words: list[str], wanted: WantedForm) -> tuple[list[CrontabFile], list[Problem]]:
    """Return the tables, and the files that are none."""
    found = list(read_crontabs(words, wanted))
    tables = [one for one in found if isinstance(one, CrontabFile)]
    return tables, [one for one in found if isinstance(one, Problem)]


# --- writing and printing ----------------------------------------------------------------------------------


def _write(directory: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the files of all verdicts, or none.

    Raises:
        ProblemError: the directory cannot be written.

    """
    files = [one.file for one in verdicts if one.file is not None and one.state in {State.WRITTEN, State.REPLACED}]
    write_or_explain(directory, files)


def _print(verdicts: Sequence[Verdict], problems: Sequence[Problem], to: Path | None, *, is_dry: bool) -> None:
    said_below = shared_remarks([verdict for verdict in verdicts if verdict.file is not None])
    for verdict in verdicts:
        print_verdict(verdict, None if to is None else str(to), said_below, is_shown=is_dry)
    for problem in problems:
        print_problem(problem, sys.stdout, level="warning" if problem.is_lint else "error")
    print_notes(verdicts)
    print(f"\n{summary(verdicts, len(problems), is_dry=is_dry)}")


def _print_json(verdicts: Sequence[Verdict], problems: Sequence[Problem], *, is_dry: bool) -> None:
    for verdict in verdicts:
        print(json.dumps(verdict_json(verdict, is_dry=is_dry), ensure_ascii=False))
    for problem in problems:
        print(json.dumps(problem_json(replace(problem, is_lint=False), "warning" if problem.is_lint else "error")))


def _print_cutover(verdicts: Sequence[Verdict], start: datetime | None, now: datetime) -> None:
    """Print how the lines leave cron, as long as that is still to come."""
    imported = [verdict for verdict in verdicts if verdict.is_imported]
    if not imported or (start is not None and start <= now):
        return
    print()
    if start is not None:
        print_wrapped(cutover.describe_window(cutover.window(imported, start, now), start, host_zone()))
    else:
        text = (
            "the jobs count as soon as the service reads them, and cron still runs the lines: `--from TIME` parts them"
        )
        print_wrapped(f"{text}. To take the lines out of cron:")
    for command in cutover.commands(imported, verdicts):
        print(f"  {command}")
