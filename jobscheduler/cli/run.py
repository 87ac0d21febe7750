"""`run`: run jobs now, by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jobscheduler.cli.client_helpers import add_client_options, api_path
from jobscheduler.cli.job_arguments import JOBS_HELP, selected_ids
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.output_display import TextDisplay
from jobscheduler.cli.output_follow import follow
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.service_restart import wait_for_end
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import ApiError, request
from jobscheduler.util.terminal_text import printable

EXAMPLES = """examples:
  jobscheduler run report-001
  jobscheduler run report-001 --wait
  jobscheduler run 'billing-*' tag:nightly

The run has a record with `trigger=manual` and is not a slot: the next slot does not change. Jobs that are disabled,
paused or done can be run; `overlap` applies as to a slot. A command of a job may run another job: that needs no further
worker, and its record says `trigger=run:RUN_ID`. --wait shows what the job prints as it comes; Ctrl-C stops the
waiting, not the job. If the service ends meanwhile, --wait goes on with the next one, within 15 seconds. Control
characters are spelled out, but for colours on a terminal; --raw writes what was printed.
Exit status: 0 started (with --wait: success), 1 skipped, failed or no such job, 2 wrong usage, 3 service not
reachable (with --wait, also when it has ended in the middle and has not come back)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the options."""
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOBS_HELP)
    parser.add_argument("--wait", action="store_true", help="wait for the end; show the output, exit 0 or 1")
    parser.add_argument("--raw", action="store_true", help="with --wait, write the output as it is")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the runs, and wait for their ends with `--wait`; return 1 if any was refused or failed."""
    socket = client_settings(arguments).socket
    begun = [_begin(arguments, socket, job_id) for job_id in selected_ids(socket, arguments.jobs)]
    if not arguments.wait:
        return 0 if all(begun) else 1
    display = TextDisplay(raw=arguments.raw, headings=len(begun) > 1)
    ended = [_succeeds(arguments, socket, run_id, display) for run_id in begun]
    return 0 if all(ended) else 1


def _begin(arguments: argparse.Namespace, socket: Path, job_id: str) -> str | None:
    """Ask for a run of a job, print the answer unless its end is waited for, and return its id; None if it is refused.

    A refusal of one of several jobs stops none of the others.
    """
    try:
        begun = request(socket, "POST", api_path("jobs", job_id, "run"))
    except ApiError as refused:
        if len(arguments.jobs) == 1 and arguments.jobs[0] == job_id:
            raise
        print_problem(refused.problem, sys.stderr)
        return None
    if begun["run_id"] is None:
        _print_answer(begun, arguments.json, f"`{job_id}` was not run: {begun['note']}")
    elif not arguments.wait:
        note = f"; it {begun['note']}" if begun["note"] else ""
        _print_answer(begun, arguments.json, f"run {begun['run_id']} of `{job_id}`{note}")
        _print_next(begun, arguments.json)
    return cast("str | None", begun["run_id"])


def _succeeds(arguments: argparse.Namespace, socket: Path, run_id: str | None, display: TextDisplay) -> bool:
    """Wait for the end of a run, show it, and return whether it succeeded; False if there is none."""
    if run_id is None:
        return False
    record = _wait_silently(socket, run_id) if arguments.json else _wait_for(socket, run_id, display)
    return (record or {}).get("status") == "SUCCESS"


def _print_answer(answer: Mapping[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(answer) if as_json else printable(text))


def _print_next(answer: Mapping[str, Any], as_json: bool) -> None:
    """Print on standard error the effect of the run on the next slot."""
    if answer.get("next_note") and not as_json:
        print_wrapped(f"note: {answer['next_note']}", sys.stderr)


def _wait_for(socket: Path, run_id: str, display: TextDisplay) -> Mapping[str, Any] | None:
    """Wait for the end of a run and show its output as it comes; return its record, None if it never began."""
    record = follow(socket, run_id, display)
    display.finish(record)
    if record is None:
        print("the service stopped before the run began", file=sys.stderr)
    return record


def _wait_silently(socket: Path, run_id: str) -> Mapping[str, Any] | None:
    """Wait for the end of a run and print it as one JSON object."""
    answer = wait_for_end(socket, run_id)
    print(json.dumps(answer))
    record: Mapping[str, Any] | None = answer["record"]
    return record
