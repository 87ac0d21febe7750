"""`serve`: run the service."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from jobscheduler.cli.options import add_options, settings_from_arguments
from jobscheduler.cli.problems import print_problem

EXAMPLES = """examples:
  jobscheduler serve
  jobscheduler serve --jobs-dir ./jobs.d --log-file ./scheduler.log
  JOBSCHEDULER_TIMEZONE=Europe/Berlin jobscheduler serve

It runs until SIGTERM or SIGINT, and then lets running jobs finish for as long as --drain-timeout says.
Exit status: 0 stopped by a signal, 1 it could not start, or not write its log to the end, 2 wrong usage, 70 an internal
part died."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option of the service."""
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the service until a signal stops it."""
    from jobscheduler.service import StartupError, serve  # noqa: PLC0415 - not needed by other verbs

    try:
        return serve(settings_from_arguments(arguments), partial(settings_from_arguments, arguments))
    except StartupError as cannot:
        print_problem(cannot.problem, sys.stderr)
        return 1
