"""`resume`: let the slots of a paused job run again."""

from __future__ import annotations

import argparse
import json

from jobscheduler.cli.client_helpers import EXIT_STATUSES, add_client_options, api_path
from jobscheduler.cli.options import client_settings
from jobscheduler.control.client import request

SUMMARY = "let the slots of a paused job run again"
EXAMPLES = f"""examples:
  jobscheduler resume report-001

Slots that came due while the job was paused are not caught up.
{EXIT_STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the service to resume the job, and print the result."""
    answer = request(client_settings(arguments).socket, "POST", api_path("jobs", arguments.job, "resume"))
    text = "runs again at its next slot" if answer["changed"] else "was not paused"
    print(json.dumps(answer) if arguments.json else f"`{arguments.job}` {text}")
    return 0
