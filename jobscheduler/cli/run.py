"""`run`: run jobs now, by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jobscheduler.cli.client_helpers import add_client_options, api_path, format_duration_or_dash
from jobscheduler.cli.job_arguments import JOBS_HELP, selected_ids
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.table import colourize, printable, printable_lines, use_colour
from jobscheduler.control.client import ApiError, request

EXAMPLES = """examples:
  jobscheduler run report-001
  jobscheduler run report-001 --wait
  jobscheduler run 'billing-*' tag:nightly

The run has a record with `trigger=manual` and is not a slot: the next slot does not change. Jobs that are disabled,
paused or done can be run; `overlap` applies as to a slot. A command of a job may run another job: that needs no further
worker, and its record says `trigger=run:RUN_ID`. --wait prints what the job printed when it has ended; Ctrl-C stops
the waiting, not the job.
Exit status: 0 started (with --wait: success), 1 skipped, failed or no such job, 2 wrong usage, 3 service not
reachable."""

_WAIT = 25  # seconds that one request waits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs and the options."""
    parser.add_argument("jobs", nargs="+", metavar="JOB", help=JOBS_HELP)
    parser.add_argument("--wait", action="store_true", help="wait for the end; show the output, exit 0 or 1")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the runs, and wait for their ends with `--wait`; return 1 if any was refused or failed."""
    socket = client_settings(arguments).socket
    begun = [_begin(arguments, socket, job_id) for job_id in selected_ids(socket, arguments.jobs)]
    if not arguments.wait:
        return 0 if all(begun) else 1
    ended = [_succeeds(arguments, socket, run_id) for run_id in begun]
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


def _succeeds(arguments: argparse.Namespace, socket: Path, run_id: str | None) -> bool:
    """Wait for the end of a run, show it, and return whether it succeeded; False if there is none."""
    if run_id is None:
        return False
    ended = _wait_for(socket, run_id)
    if arguments.json:
        print(json.dumps(ended))
    else:
        _show(ended)
    return (ended["record"] or {}).get("status") == "SUCCESS"


def _print_answer(answer: Mapping[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(answer) if as_json else printable(text))


def _print_next(answer: Mapping[str, Any], as_json: bool) -> None:
    """Print on standard error the effect of the run on the next slot."""
    if answer.get("next_note") and not as_json:
        print(f"note: {answer['next_note']}", file=sys.stderr)


def _wait_for(socket: Path, run_id: str) -> Mapping[str, Any]:
    while True:
        answer = request(socket, "GET", f"{api_path('runs', run_id)}?wait={_WAIT}")
        if answer["record"] is not None or answer["cancelled"]:
            return answer


def _show(ended: Mapping[str, Any]) -> None:
    """Print the output to standard output, and how the run ended to standard error.

    A file or a program gets the output as it is. A terminal gets it escaped, because the job's user is not the caller.
    """
    output, record = ended["output"], ended["record"]
    if output:
        shown = printable_lines(output) if sys.stdout.isatty() else output
        print(shown, end="" if shown.endswith("\n") else "\n")
    sys.stdout.flush()
    if record is None:
        print("the service stopped before the run began", file=sys.stderr)
        return
    colour = "green" if record["status"] == "SUCCESS" else "red"
    word = colourize(record["status"], colour if use_colour(sys.stderr) else None)
    known = ("reason", "exit_code", "signal", "http_status", "error")
    details = "".join(f" {key}={printable(str(record[key]))}" for key in known if record.get(key) is not None)
    print(f"{word} after {format_duration_or_dash(record.get('duration'))}{details}", file=sys.stderr)
