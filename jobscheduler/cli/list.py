"""`list`: show the jobs of the running service, the worst first."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from jobscheduler.cli.client_helpers import EXIT_STATUSES, add_client_options, api_path
from jobscheduler.cli.job_rows import COLUMNS, ORDERS, plain_rows, rows, sorted_jobs, summary_text
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.table import table, terminal_width, use_colour
from jobscheduler.cli.usage import one_of, refuse_both, some_of
from jobscheduler.cli.watch import watch
from jobscheduler.config import Settings
from jobscheduler.control.client import request
from jobscheduler.model import Problem
from jobscheduler.status.shown_status import KNOWN_WORDS, ShownStatus
from jobscheduler.util.instants import utc_now
from jobscheduler.util.terminal_text import printable

EXAMPLES = f"""examples:
  jobscheduler list
  jobscheduler list --failing
  jobscheduler list 'report-*' tag:nightly --state running,waiting
  jobscheduler list --sort next --watch
  jobscheduler list --plain | cut -f 1,2
  jobscheduler list --json | jq -r 'select(.stale) | .job_id'

STATUS is the worst that applies: {", ".join(ShownStatus)}. A stale job stays active as it was before its file became
bad; a refused file is shown by its name. LAST is the end of the last run, NEXT the start of the next one (with
`jitter`); USUAL is the median of the last 20 successes. A narrow terminal gets fewer columns, and a pipe gets all.
--plain prints tab-separated fields without a head: job, status, last result, its time, seconds, next start, details.
--json prints one object per job. Times in both are UTC.
{EXIT_STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the options."""
    which = "ids, patterns such as `report-*`, or `tag:WORD` (default: all)"
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=which)
    parser.add_argument("--failing", action="store_true", help="only jobs that are failing; as `--state failing`")
    words = some_of("state", KNOWN_WORDS)
    parser.add_argument(
        "--state", action="append", type=words, metavar="STATE,...", help="only jobs to which one applies"
    )
    parser.add_argument("--tag", action="append", metavar="TAG", help="only jobs with this tag, or one of several")
    orders = f"the order: {', '.join(ORDERS)} (default: status)"
    parser.add_argument("--sort", type=one_of("order", ORDERS), default="status", metavar="ORDER", help=orders)
    parser.add_argument("--watch", action="store_true", help="draw it again every two seconds; `q` ends")
    parser.add_argument("--plain", action="store_true", help="print tab-separated fields")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    _check_usage(arguments)
    settings = client_settings(arguments)
    if arguments.watch:
        return watch(partial(_drawn, settings, arguments))
    answer = _asked(settings, arguments)
    found = sorted_jobs(answer["jobs"], arguments.sort)
    if arguments.json:
        for job in found:
            print(json.dumps(job))
    elif arguments.plain:
        for fields in plain_rows(found):
            print("\t".join(map(printable, fields)))
    elif found:
        for line in _lines(found):
            print(line)
        sys.stdout.flush()  # where both streams lead to one place, the sum comes below
        print(summary_text(found), file=sys.stdout if sys.stdout.isatty() else sys.stderr)
    return _status(answer, arguments)


def _check_usage(arguments: argparse.Namespace) -> None:
    """Refuse two forms of the answer at once, and an empty tag, as from an unset variable of the shell.

    Raises:
        ArgumentProblem: there is one.

    """
    forms = [form for form in ("json", "plain", "watch") if getattr(arguments, form)]
    if len(forms) > 1:
        refuse_both(f"--{forms[0]}", f"--{forms[1]}")
    if "" in (arguments.tag or ()):
        raise ArgumentProblem(Problem("the tag of `--tag` is empty", help="is a variable of the shell unset?"))


def _asked(settings: Settings, arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Ask for the jobs that are wanted."""
    states = sorted({*(state for words in arguments.state or () for state in words), *_failing(arguments)})
    fields = [("job", name) for name in arguments.jobs]
    fields += [("tag", tag) for tag in arguments.tag or ()] + [("state", state) for state in states]
    query = f"?{urlencode(fields)}" if fields else ""
    return request(settings.socket, "GET", f"{api_path('jobs')}{query}")


def _failing(arguments: argparse.Namespace) -> tuple[str, ...]:
    return (ShownStatus.FAILING.value,) if arguments.failing else ()


def _lines(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return table(COLUMNS, rows(found, utc_now()), width=terminal_width(), colour=use_colour(sys.stdout))


def _drawn(settings: Settings, arguments: argparse.Namespace) -> tuple[int, Iterable[str]]:
    """Return the lines of a screen."""
    answer = _asked(settings, arguments)
    found = sorted_jobs(answer["jobs"], arguments.sort)
    return 0, [summary_text(found), "", *(_lines(found) if found else ())]


def _status(answer: Mapping[str, Any], arguments: argparse.Namespace) -> int:
    """Report on standard error what selects no job; return the exit status."""
    for unmatched in answer["unmatched"]:
        print_problem(Problem(unmatched["message"], help=unmatched["help"]), sys.stderr)
    if answer["unmatched"]:
        return 1
    if not answer["jobs"] and (arguments.jobs or arguments.tag):
        names = ", ".join(f"`{name}`" for name in (*arguments.jobs, *(f"tag:{tag}" for tag in arguments.tag or ())))
        problem = Problem(f"no job that matches {names} is in such a state", help="`jobscheduler list` shows all jobs")
        print_problem(problem, sys.stderr)
        return 1
    if not answer["jobs"]:
        print("no such jobs" if arguments.state or arguments.failing else "no jobs", file=sys.stderr)
    return 0
