"""`status`: show the situation, what needs an operator first."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, api_path
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.situation_lines import Screen, needs_operator, situation_lines
from jobscheduler.cli.table import terminal_width, use_colour
from jobscheduler.cli.usage import refuse_both
from jobscheduler.cli.watch import watch
from jobscheduler.config import Settings
from jobscheduler.control.client import request
from jobscheduler.util.instants import utc_now

EXAMPLES = """examples:
  jobscheduler status
  jobscheduler status --failing || mail -s 'jobs are failing' root
  jobscheduler status --watch

What needs you comes first: problems of the service, failing and overdue jobs, files with problems. Then what
runs, is paused and comes next, and the service itself. Where there is nothing to report it is one line; -v shows the
service all the same. As a check of health: the exit status is 0 only if scheduling, watching and logging work and
every job file is accepted; with --failing also only if no job is failing or overdue.
Exit status: 0 all is well, 1 something is wrong, 2 wrong usage, 3 service not reachable."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--failing", action="store_true", help="exit 1 also if a job is failing or overdue")
    parser.add_argument("--watch", action="store_true", help="draw it again every two seconds; `q` ends")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the service also when all is well")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the situation; return 1 if anything is wrong."""
    if arguments.json and arguments.watch:
        refuse_both("--json", "--watch")
    settings = client_settings(arguments)
    if arguments.watch:
        return watch(partial(_drawn, settings, arguments))
    answer = request(settings.socket, "GET", api_path("status"))
    if arguments.json:
        print(json.dumps(answer))
    else:
        for line in _lines(answer, arguments):
            print(line)
    return _status(answer, arguments)


def _drawn(settings: Settings, arguments: argparse.Namespace) -> tuple[int, Iterable[str]]:
    """Return the exit status and the lines of a screen."""
    answer = request(settings.socket, "GET", api_path("status"))
    return _status(answer, arguments), _lines(answer, arguments)


def _lines(answer: Mapping[str, Any], arguments: argparse.Namespace) -> Iterable[str]:
    screen = Screen(utc_now(), os.uname().nodename, terminal_width(), use_colour(sys.stdout))
    return situation_lines(answer, screen, with_service=arguments.verbose)


def _status(answer: Mapping[str, Any], arguments: argparse.Namespace) -> int:
    failing = arguments.failing and (answer["failing"]["count"] or answer["overdue"]["count"])
    return 1 if failing or needs_operator(answer) else 0
