"""`pause`: keep the slots of a job from running until it is resumed."""

from __future__ import annotations

import argparse
import json

from jobscheduler.cli.client_helpers import EXIT_STATUSES, add_client_options, api_path
from jobscheduler.cli.options import client_settings
from jobscheduler.control.client import request

SUMMARY = "keep the slots of a job from running until it is resumed"
EXAMPLES = f"""examples:
  jobscheduler pause report-001

A pause ends with `resume`, or when the service restarts; an edit of the job file does not end it. Slots that come due
meanwhile are recorded as SKIPPED reason=paused. A run in progress continues, and `run` still works.
{EXIT_STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the service to pause the job, and print the result."""
    answer = request(client_settings(arguments).socket, "POST", api_path("jobs", arguments.job, "pause"))
    text = (
        "is paused until `jobscheduler resume` or a restart of the service"
        if answer["changed"]
        else "was paused already"
    )
    print(json.dumps(answer) if arguments.json else f"`{arguments.job}` {text}")
    return 0
