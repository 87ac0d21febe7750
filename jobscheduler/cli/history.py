"""`history`: show the records of the log files, follow them, or sum them up. Needs no service."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from zoneinfo import ZoneInfo

from jobscheduler.cli.account_records import AccountRecords, account_records, is_of_node
from jobscheduler.cli.history_stats import COLUMNS, stats_rows, summarize
from jobscheduler.cli.history_table import Corrected, print_records
from jobscheduler.cli.log_files import LogUnavailable, host_zone, require_log, unknown_job_problem
from jobscheduler.cli.options import add_options, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.read_progress import ReadProgress
from jobscheduler.cli.table import table, terminal_width, use_colour
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.usage import refuse_both, some_of, whole_number
from jobscheduler.config import Settings
from jobscheduler.control.client import request
from jobscheduler.model import Problem, Status
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.model.selection import Selector, selectors
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import LineMatcher, LogFilter, LogLine
from jobscheduler.runlog.follow import LogFollower
from jobscheduler.util.instants import format_local, utc_now

EXAMPLES = """examples:
  jobscheduler history
  jobscheduler history report-001 -n 10
  jobscheduler history --status failure,missed --since yesterday
  jobscheduler history 'report-*' tag:nightly --since 2026-11-20 --until 2026-11-22T12:00 -n 0
  jobscheduler history -f
  jobscheduler history --stats --since 7d
  jobscheduler history report-001 --all --since 2h
  jobscheduler history backup --status success --since 1d --fail-if-none
  jobscheduler history --json --since 1d -n 0 | jq -r 'select(.duration > 60) | .job_id'

A line is found by its own time, which is when a run ended or a slot was decided. --since and --until take `14:30`,
`yesterday`, `today`, dates (their beginning), ISO 8601 times and durations back from now; without an offset they are
in the zone of this host, as the times that are shown. The oldest line comes first. On a node of a cluster the records
are those of all nodes, which its service reads; with --all or --log-file it is the log of this host. Tags are known to
the service alone; all else needs none. A failure shows the last line of its output; --json has all of the log's line. A
slot that only a wrong clock missed may have a second record, with `corrects=clock`: that one counts, and the first is
shown as corrected.
--stats counts all records of the time, whatever -n says: runs, how many succeeded, how long half and 95 of 100 took at
most, the longest, the processor time of all and the memory of the largest.
Exit status: 0 fine, 1 problems (with --fail-if-none: no record), 2 wrong usage, 3 a tag, and no service."""

LIMIT = 50
POLL_S = 0.3  # seconds between two looks at a log that is followed

_REMEMBERED = 10_000  # lines shown before following begins, in which the first followed ones are looked for


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which lines are wanted: what the log can be searched for, and of several jobs the selectors of their ids.

    `of_cluster`: the records of all nodes, which their account has, and no log of a single one.
    """

    filter: LogFilter
    selectors: tuple[Selector, ...] = ()
    of_cluster: bool = False

    def has(self, line: LogLine) -> bool:
        """Return whether a line is of one of the jobs."""
        job_id = line.pairs.get("job_id")
        return not self.selectors or (job_id is not None and any(one.matches(job_id) for one in self.selectors))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs, the filters and the options."""
    which = "ids, patterns such as `report-*`, or `tag:WORD` (default: all)"
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=which)
    statuses = ", ".join(status.value.lower() for status in Status)
    words = some_of("status", Status)
    parser.add_argument(
        "--status", action="append", type=words, metavar="STATUS", help=f"only these, with commas: {statuses}"
    )
    parser.add_argument("--since", metavar="TIME", help="nothing before this time, or this long ago (`2h`)")
    parser.add_argument("--until", metavar="TIME", help="nothing after this time, or this long ago")
    count = whole_number("-n", 0)
    parser.add_argument("-n", "--limit", type=count, metavar="N", help=f"the last N (default: {LIMIT}; 0: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new lines as they come; Ctrl-C ends")
    parser.add_argument("--stats", action="store_true", help="sum up the records of each job")
    parser.add_argument("--all", action="store_true", help="every line of the log about JOB, not only its records")
    parser.add_argument("--fail-if-none", action="store_true", help="exit 1 if there is no such record")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, as in the log")
    add_options(parser, {"log_file", "log_backups", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the records; problems go to standard error."""
    _check_usage(arguments)
    settings, zone = settings_of_service(arguments, {"log_file"}), host_zone()
    wanted = _wanted(arguments, settings, zone, utc_now())
    try:
        if not wanted.of_cluster:
            require_log(settings)
    except LogUnavailable as reason:
        print_problem(reason.problem, sys.stderr)
        return 1
    if arguments.stats:
        return _show_stats(wanted, settings, arguments, zone)
    if arguments.follow:
        return _follow(wanted, settings, arguments, zone)
    progress = ReadProgress()
    lines = progress.scanned(_found(settings, wanted, _limit(arguments), progress))
    first = next(lines, None)
    if first is None:
        return _none(settings, arguments, zone)
    _print(chain((first,), lines), arguments, Corrected(settings), zone)
    return 0


def _check_usage(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        ArgumentProblem: two options exclude each other, or `--all` is not about one job.

    """
    jobs = selectors(arguments.jobs)
    if arguments.all and (len(jobs) != 1 or jobs[0].job_id is None):
        raise ArgumentProblem(Problem("`--all` is for one job", help="name it, or read the log file itself"))
    for other in ("until", "stats", "fail_if_none"):
        if arguments.follow and getattr(arguments, other):
            refuse_both("--follow", f"--{other.replace('_', '-')}")


def _limit(arguments: argparse.Namespace) -> int:
    return LIMIT if arguments.limit is None else int(arguments.limit)


def _none(settings: Settings, arguments: argparse.Namespace, zone: ZoneInfo) -> int:
    """Report that there is no such record: perhaps because there is no such job."""
    unknown = [unknown_job_problem(settings, one.text) for one in selectors(arguments.jobs) if one.job_id is not None]
    problems = [problem for problem in unknown if problem is not None]
    for problem in problems:
        print_problem(problem, sys.stderr)
    if not problems:
        print(f"no such {'lines' if arguments.all else 'records'}{_reach(settings, zone)}", file=sys.stderr)
    return 1 if problems or arguments.fail_if_none else 0


def _reach(settings: Settings, zone: ZoneInfo) -> str:
    begins = query.oldest_time(settings.log_file, settings.log_backups)
    return "" if begins is None else f"; the log reaches back to {format_local(begins, zone)}"


def _print(
    lines: Iterable[LogLine],
    arguments: argparse.Namespace,
    corrected: Corrected,
    zone: ZoneInfo,
    measured: int | None = None,
) -> None:
    if not arguments.json:
        is_one_job = len(arguments.jobs) == 1 and Selector(arguments.jobs[0]).job_id is not None
        print_records(lines, zone, corrected, with_job=not is_one_job, measured=measured)
        return
    for line in lines:
        print(json.dumps(line.object), flush=measured is not None)


def _wanted(arguments: argparse.Namespace, settings: Settings, zone: ZoneInfo, now: datetime) -> _Wanted:
    """Return which lines are wanted.

    Raises:
        ArgumentProblem: a time cannot be read, or the second is before the first.
        ServiceUnreachable: a tag was named, and no service answers.
        ApiError: the service refuses the request.

    """
    since = parse_when(arguments.since, "--since", zone, now)
    until = parse_when(arguments.until, "--until", zone, now)
    jobs = selectors(arguments.jobs)
    if since and until and since > until:
        raise ArgumentProblem(Problem("`--until` is before `--since`", help="is one of the two mistyped?"))
    words = frozenset[str]().union(*arguments.status) if arguments.status else frozenset[str]()
    kinds = words or (frozenset() if arguments.all else RECORD_KINDS)
    of_cluster = arguments.log_file is None and not arguments.all and is_of_node(settings.socket)
    if len(jobs) == 1 and jobs[0].job_id is not None:
        return _Wanted(LogFilter(jobs[0].job_id, kinds, since, until), of_cluster=of_cluster)
    return _Wanted(LogFilter(None, kinds, since, until), tuple(_without_tags(jobs, settings)), of_cluster)


def _without_tags(jobs: Iterable[Selector], settings: Settings) -> Iterator[Selector]:
    """Yield the selectors, with those of tags replaced by the ids of the jobs that have these tags now."""
    for one in jobs:
        if one.tag is None:
            yield one
            continue
        answer = request(settings.socket, "GET", f"/v1/jobs?{_encoded(one.text)}")
        if answer["unmatched"]:
            problem = answer["unmatched"][0]
            raise ArgumentProblem(Problem(problem["message"], help=problem["help"]))
        yield from (Selector(job["job_id"]) for job in answer["jobs"])


def _encoded(selector: str) -> str:
    from urllib.parse import urlencode  # noqa: PLC0415 - for a tag alone

    return urlencode({"job": selector})


def _found(settings: Settings, wanted: _Wanted, limit: int, progress: ReadProgress) -> Iterator[LogLine]:
    log = settings.log_file, settings.log_backups
    account = account_records(settings.socket, wanted.filter) if wanted.of_cluster else None
    if account is not None:
        return iter(list(islice(filter(wanted.has, account.newest_first()), limit or None))[::-1])
    if limit:
        newest = filter(wanted.has, query.iter_newest_first(*log, wanted.filter, progress))
        return iter(list(islice(newest, limit))[::-1])
    return filter(wanted.has, query.iter_oldest_first(*log, wanted.filter, progress))


# --- following ------------------------------------------------------------------------------------------


def _follow(wanted: _Wanted, settings: Settings, arguments: argparse.Namespace, zone: ZoneInfo) -> int:
    """Print the last lines and then new ones until Ctrl-C."""
    account = account_records(settings.socket, wanted.filter) if wanted.of_cluster else None
    if account is not None:
        return _follow_account(account, wanted, settings, arguments, zone)
    follower = LogFollower(settings.log_file, settings.log_backups)
    try:
        before = list(_found(settings, wanted, _limit(arguments), ReadProgress()))
        shown = frozenset(line.raw for line in deque(before, _REMEMBERED))
        new = followed(follower, wanted.filter, lambda: time.sleep(POLL_S))
        added = (line for line in new if wanted.has(line) and line.raw not in shown)
        _print(chain(before, added), arguments, Corrected(settings), zone, measured=len(before))
    finally:
        follower.close()
    return 0


def _follow_account(
    account: AccountRecords, wanted: _Wanted, settings: Settings, arguments: argparse.Namespace, zone: ZoneInfo
) -> int:
    """Print the last records of all nodes and then new ones until Ctrl-C."""
    newest = filter(wanted.has, account.newest_first())
    before = list(islice(newest, _limit(arguments) or None))[::-1]
    added = filter(wanted.has, account.new(frozenset(line.raw for line in deque(before, _REMEMBERED))))
    _print(chain(before, added), arguments, Corrected(settings), zone, measured=len(before))
    return 0


def followed(follower: LogFollower, wanted: LogFilter, wait: Callable[[], object]) -> Iterator[LogLine]:
    """Yield the wanted lines that are added to a log; call `wait` whenever there are no more."""
    matcher = LineMatcher(wanted)
    while True:
        yield from matcher.of(line for line in follower.lines() if matcher.lines(line + b"\n"))
        sys.stdout.flush()
        wait()


# --- sums -----------------------------------------------------------------------------------------------


def _show_stats(wanted: _Wanted, settings: Settings, arguments: argparse.Namespace, zone: ZoneInfo) -> int:
    """Print the sums of each job."""
    progress = ReadProgress()
    lines = progress.scanned(_found(settings, wanted, 0, progress))
    summaries = summarize(line.pairs for line in lines if line.pairs["word"] in RECORD_KINDS)
    if not summaries:
        return _none(settings, arguments, zone)
    objects = [summary.as_json(job_id) for job_id, summary in summaries.items()]
    if arguments.json:
        for one in objects:
            print(json.dumps(one))
        return 0
    for line in table(COLUMNS, stats_rows(objects), width=terminal_width(), colour=use_colour(sys.stdout)):
        print(line)
    return 0
