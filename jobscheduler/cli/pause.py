"""`pause`: keep the slots of jobs from running, for a time or until they are resumed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from jobscheduler.cli.client_helpers import EXIT_STATUSES, add_client_options
from jobscheduler.cli.job_arguments import add_job_arguments, selected_texts
from jobscheduler.cli.log_files import host_zone
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.pause_text import describe_pause, print_note
from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.cli.times import parse_when
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import request
from jobscheduler.model import Problem
from jobscheduler.util import durations
from jobscheduler.util.instants import format_instant, utc_now
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural

EXAMPLES = f"""examples:
  jobscheduler pause report-001
  jobscheduler pause 'billing-*' tag:backup --for 2h --reason 'database migration'
  jobscheduler pause --all --until 06:00

Slots that come due meanwhile are recorded as SKIPPED reason=paused, and are not caught up. A run in progress goes on,
with its further attempts; what waits for a worker is skipped. `run` still works. A pause survives edits and restarts,
and covers files that come later. Pauses add up: a job runs again when all of its pauses have ended, or after `resume`.
{EXIT_STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the options."""
    add_job_arguments(parser)
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--for", dest="duration", metavar="DURATION", help="end it after this long, such as `2h` or `1d`")
    ends.add_argument("--until", metavar="TIME", help="end it at this time: `06:00`, `tomorrow`, `2026-12-01T06:00`")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for those who wonder")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the service to pause the jobs, and print the result."""
    body = _request(arguments, utc_now())
    answer = request(client_settings(arguments).socket, "POST", "/v1/pause", body)
    if arguments.json:
        print(json.dumps(answer))
    else:
        _show(answer)
        print_note(answer)
    return 0


def _request(arguments: argparse.Namespace, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = {"jobs": selected_texts(arguments), "reason": arguments.reason}
    end = _end(arguments, now)
    return body if end is None else {**body, "until": format_instant(end)}


def _end(arguments: argparse.Namespace, now: datetime) -> datetime | None:
    """Return the end of the pause: after a duration, or at a time of day (the next one), a date, or an ISO 8601 time.

    Raises:
        ArgumentProblem: it cannot be read.

    """
    if arguments.duration is not None:
        try:
            return now + timedelta(seconds=durations.parse_duration(arguments.duration))
        except ValueError as error:
            raise ArgumentProblem(Problem(f"`--for`: {error}", help="write `90s`, `15m`, `1h30m` or `2d`")) from None
    return parse_when(arguments.until, "--until", host_zone(), now, is_ahead=True)


def _show(answer: Mapping[str, Any]) -> None:
    """Print the new pauses, or what pauses the jobs already, and how many jobs that are."""
    count = plural(len(answer["jobs"]), "job")
    if not answer["changed"]:
        print(f"already paused, for at least as long ({count}):")
    for pause in answer["pauses"] if answer["changed"] else answer["in_force"]:
        print_wrapped(printable(f"paused: {describe_pause(pause, utc_now(), host_zone())}"))
    if answer["changed"] and len(answer["jobs"]) != 1:
        print(f"that is {count} now")
