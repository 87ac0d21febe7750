"""`agenda`: show all slots of all jobs in order of time."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from jobscheduler.cli.agenda_lines import Agenda, Period, agenda, entry_json, ical_lines, remarks, rows
from jobscheduler.cli.jitter_seed import jitter_seed
from jobscheduler.cli.job_files import parse_path
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.service_jobs import KnownJob, is_path, jobs_of_service
from jobscheduler.cli.table import Column, table, terminal_width, use_colour
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.usage import refuse_both, whole_number
from jobscheduler.config import Settings
from jobscheduler.config.job_context import job_context
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Job, Problem
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import plural

EXAMPLES = """examples:
  jobscheduler agenda
  jobscheduler agenda --to 6h tag:backup
  jobscheduler agenda --from tomorrow --to 'tomorrow 06:00'
  jobscheduler agenda ./jobs.d --from 2026-12-24 --to 2026-12-27
  jobscheduler agenda --to 7d --ical > jobs.ics

Jobs are those of the running service, by id, pattern or `tag:WORD`; a word with a `/`, one that ends in `.json` or
names a file that is there means job files. Each start (with `jitter`) stands with how long the job usually takes. Jobs
with more than 48 slots in the time are summed up below, and so are times in which more runs are usually at work at once
than --max-workers. Disabled jobs do not start, paused ones
not before the end of their pauses.
Exit status: 0 fine, 1 problems, 2 wrong usage, 3 service not reachable."""

LIMIT = 200
DEFAULT_PERIOD = timedelta(hours=24)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs, the bounds and the options."""
    which = "jobs, or files or directories of jobs (default: all jobs of the service)"
    parser.add_argument("jobs", nargs="*", metavar="JOB|PATH", help=which)
    parser.add_argument("--from", dest="first", metavar="TIME", help="starts from this time on (default: now)")
    parser.add_argument(
        "--to", "--until", dest="last", metavar="TIME", help="no starts after this time (default: 24h later)"
    )
    count = whole_number("-n", 0)
    parser.add_argument("-n", type=count, metavar="N", help=f"at most N starts (default: {LIMIT}; 0: all)")
    parser.add_argument("--ical", action="store_true", help="print an iCalendar file")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each start")
    add_options(parser, {"jobs_dir", "timezone", "max_workers", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the agenda; problems go to standard error."""
    if arguments.ical and arguments.json:
        refuse_both("--ical", "--json")
    settings = settings_of_service(arguments, ())
    rules, now = job_context(settings), utc_now()
    period = _period(arguments, rules.zone, now)
    due_by = period.last if period.first >= now else None  # the service knows no slots of the past
    jobs = list(_jobs(arguments.jobs, settings, rules, due_by))
    seed = jitter_seed(settings) if any(one.job.jitter for one in jobs) else ""
    found = agenda(jobs, period, seed, settings.max_workers)
    is_whole = arguments.n == 0 or (arguments.n is None and (arguments.json or arguments.ical))
    shown = list(islice(found.entries, None if is_whole else LIMIT if arguments.n is None else arguments.n))
    if arguments.ical:
        sys.stdout.write("".join(f"{line}\r\n" for line in ical_lines(shown, os.uname().nodename, now)))
    elif arguments.json:
        for entry in shown:
            print(json.dumps(entry_json(entry)))
    else:
        _print(found, len(shown), rules.zone, settings.max_workers)
    return 0


def _period(arguments: argparse.Namespace, zone: ZoneInfo, now: datetime) -> Period:
    first = parse_when(arguments.first, "--from", zone, now, is_ahead=True) or now
    last = parse_when(arguments.last, "--to", zone, now, is_ahead=True) or first + DEFAULT_PERIOD
    if last < first:
        raise ArgumentProblem(Problem("`--to` is before `--from`", help="is one of the two mistyped?"))
    return Period(first, last)


def _jobs(words: list[str], settings: Settings, rules: ParseContext, due_by: datetime | None) -> Iterator[KnownJob]:
    """Yield the jobs that are meant; report files with problems."""
    texts = [word for word in words if not is_path(word)]
    if texts or not words:
        yield from jobs_of_service(settings, texts, due_by)
    for path in (Path(word) for word in words if is_path(word)):
        for verdict in parse_path(path, rules):
            if isinstance(verdict, Job):
                yield KnownJob(verdict)
                continue
            for problem in verdict:
                print_problem(problem, sys.stderr, level="warning")


def _print(found: Agenda, count: int, zone: ZoneInfo, workers: int) -> None:
    columns = (
        Column(f"DAY ({zone.key})", keep_whole=True),
        Column("START", keep_whole=True),
        Column("JOB", own_line=40),
        Column("USUAL", right=True, keep_whole=True, drop=1),
        Column("", fills=True, drop=2),
    )
    if count:
        lines = rows(found.entries[:count], zone)
        for line in table(columns, lines, width=terminal_width(), colour=use_colour(sys.stdout)):
            print(line)
    else:
        print("no job starts in this time" if not found.frequent else "no other job starts in this time")
    if count < len(found.entries):
        print(f"and {plural(len(found.entries) - count, 'more start')}: `-n 0` shows all")
    for remark in remarks(found, zone, workers):
        print(remark)
