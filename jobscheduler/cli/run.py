"""`run`: run a job now, by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, api_path, format_duration_or_dash
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.table import colourize, printable, printable_lines, use_colour
from jobscheduler.control.client import request

SUMMARY = "run a job now, whatever its schedule says"
EXAMPLES = """examples:
  jobscheduler run report-001
  jobscheduler run report-001 --wait

The run has a record with `trigger=manual` and is not a slot: the next slot does not change. Jobs that are disabled,
paused or done can be run; `overlap` applies as to a slot. A command of a job may run another job: that needs no further
worker, and its record says `trigger=run:RUN_ID`. --wait prints what the job printed when it has ended; Ctrl-C stops
the waiting, not the job.
Exit status: 0 started (with --wait: success), 1 skipped, failed or no such job, 2 wrong usage, 3 service not
reachable."""

_WAIT = 25  # seconds that one request waits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    parser.add_argument("--wait", action="store_true", help="wait for the end; show the output, exit 0 or 1")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the run, and wait for its end with `--wait`."""
    socket = client_settings(arguments).socket
    begun = request(socket, "POST", api_path("jobs", arguments.job, "run"))
    if begun["run_id"] is None:
        _print_answer(begun, arguments.json, f"`{arguments.job}` was not run: {begun['note']}")
        return 1
    if not arguments.wait:
        note = f"; it {begun['note']}" if begun["note"] else ""
        _print_answer(begun, arguments.json, f"run {begun['run_id']} of `{arguments.job}`{note}")
        _print_next(begun, arguments.json)
        return 0
    ended = _wait_for(socket, begun["run_id"])
    if arguments.json:
        print(json.dumps(ended))
    else:
        _show(ended)
    return 0 if (ended["record"] or {}).get("status") == "SUCCESS" else 1


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
