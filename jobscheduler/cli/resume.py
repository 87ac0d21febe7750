"""`resume`: let the slots of paused jobs run again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from jobscheduler.cli.client_helpers import EXIT_STATUSES, add_client_options
from jobscheduler.cli.job_arguments import add_job_arguments, selected_texts
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.pause_text import print_note, selector_text
from jobscheduler.control.client import request
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural

EXAMPLES = f"""examples:
  jobscheduler resume report-001
  jobscheduler resume 'billing-*' tag:backup
  jobscheduler resume --all

Jobs run again at their next slots, whatever paused them: a pause of more jobs, also one of all, goes on without them.
Slots that came due while they were paused are not caught up.
{EXIT_STATUSES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the options."""
    add_job_arguments(parser)
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the service to resume the jobs, and print the result."""
    body = {"jobs": selected_texts(arguments)}
    answer = request(client_settings(arguments).socket, "POST", "/v1/resume", body)
    if arguments.json:
        print(json.dumps(answer))
    else:
        _show(answer)
        print_note(answer)
    return 0


def _show(answer: Mapping[str, Any]) -> None:
    """Print which pauses ended, which go on without the jobs, and which jobs run again."""
    if not answer["changed"]:
        print("nothing of that was paused")
        return
    for pause in answer["ended"]:
        print(printable(f"ended: the pause of {selector_text(pause['jobs'])}"))
    for pause in answer["exempt"]:
        print(printable(f"goes on: the pause of {selector_text(pause['jobs'])}, without `{pause['except'][0]}`"))
    ids = answer["jobs"]
    if ids:
        named = ", ".join(f"`{job_id}`" for job_id in ids[:5]) if len(ids) <= 5 else plural(len(ids), "job")
        print(printable(f"{named} {'runs' if len(ids) == 1 else 'run'} again"))
