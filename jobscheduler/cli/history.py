"""`history`: show the records of the log files. Needs no service."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from zoneinfo import ZoneInfo

from jobscheduler.cli.history_table import Corrected, print_records
from jobscheduler.cli.log_files import LogUnavailable, host_zone, require_log, unknown_job_problem
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.read_progress import ReadProgress
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.usage import some_of, whole_number
from jobscheduler.config import Settings
from jobscheduler.model import Problem, Status
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.util.instants import format_local, utc_now

EXAMPLES = """examples:
  jobscheduler history
  jobscheduler history report-001 -n 10
  jobscheduler history --status failure,missed --since 1d
  jobscheduler history report-001 --since 2026-11-20 --until 2026-11-22T12:00 -n 0
  jobscheduler history report-001 --all --since 2h
  jobscheduler history --json --since 1d -n 0 | jq -r 'select(.duration > 60) | .job_id'

A line is found by its own time, which is when a run ended or a slot was decided. --since and --until take ISO 8601
times, dates (their beginning) and durations back from now; without an offset they are in the zone of this host, as
the times that are shown. The oldest line comes first. A slot that only a wrong clock missed may have a second record,
with `corrects=clock`: that one counts, and the first is shown as corrected.
Exit status: 0 fine, 1 problems, 2 wrong usage."""

LIMIT = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, the filters and the options."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="only this job (default: all)")
    statuses = ", ".join(status.value.lower() for status in Status)
    parser.add_argument(
        "--status",
        action="append",
        type=some_of("status", Status),
        metavar="STATUS",
        help=f"only these, with commas: {statuses}",
    )
    parser.add_argument("--since", metavar="TIME", help="nothing before this time or date, or this long ago (`2h`)")
    parser.add_argument("--until", metavar="TIME", help="nothing after this time or date, or this long ago")
    parser.add_argument(
        "-n",
        "--limit",
        type=whole_number("-n", 0),
        default=LIMIT,
        metavar="N",
        help=f"the last N (default: {LIMIT}; 0: all)",
    )
    parser.add_argument("--all", action="store_true", help="every line of the log about JOB, not only its records")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, as in the log")
    add_options(parser, {"log_file", "log_backups", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the records; problems go to standard error."""
    settings, zone = settings_of_service(arguments, {"log_file"}), host_zone()
    try:
        wanted = _wanted(arguments, zone, utc_now())
        require_log(settings)
    except (ArgumentProblem, LogUnavailable) as reason:
        print_problem(reason.problem, sys.stderr)
        return 2 if isinstance(reason, ArgumentProblem) else 1
    progress = ReadProgress()
    lines = progress.scanned(_found(settings, wanted, arguments.limit, progress))
    first = next(lines, None)
    if first is not None:
        _print(chain((first,), lines), arguments, Corrected(settings), zone)
        return 0
    problem = None if arguments.job is None else unknown_job_problem(settings, arguments.job)
    if problem is not None:
        print_problem(problem, sys.stderr)
        return 1
    print(f"no such {'lines' if arguments.all else 'records'}{_reach(settings, zone)}", file=sys.stderr)
    return 0


def _reach(settings: Settings, zone: ZoneInfo) -> str:
    begins = query.oldest_time(settings.log_file, settings.log_backups)
    return "" if begins is None else f"; the log reaches back to {format_local(begins, zone)}"


def _print(lines: Iterable[LogLine], arguments: argparse.Namespace, corrected: Corrected, zone: ZoneInfo) -> None:
    if not arguments.json:
        print_records(lines, zone, corrected, with_job=not arguments.job)
        return
    for line in lines:
        print(json.dumps(line.object))


def _wanted(arguments: argparse.Namespace, zone: ZoneInfo, now: datetime) -> LogFilter:
    since = parse_when(arguments.since, "--since", zone, now)
    until = parse_when(arguments.until, "--until", zone, now)
    if arguments.all and arguments.job is None:
        raise ArgumentProblem(Problem("`--all` is for one job", help="name it, or read the log file itself"))
    if since and until and since > until:
        raise ArgumentProblem(Problem("`--until` is before `--since`", help="is one of the two mistyped?"))
    words = frozenset[str]().union(*arguments.status) if arguments.status else frozenset[str]()
    return LogFilter(arguments.job, words or (frozenset() if arguments.all else RECORD_KINDS), since, until)


def _found(settings: Settings, wanted: LogFilter, limit: int, progress: ReadProgress) -> Iterator[LogLine]:
    if limit:
        return iter(query.last_entries(settings.log_file, settings.log_backups, wanted, limit, progress))
    return query.iter_oldest_first(settings.log_file, settings.log_backups, wanted, progress)
