"""`run`: run a job now, by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, api_path
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.output_display import TextDisplay
from jobscheduler.cli.output_follow import follow
from jobscheduler.control.client import request
from jobscheduler.util.terminal_text import printable

SUMMARY = "run a job now, whatever its schedule says"
EXAMPLES = """examples:
  jobscheduler run report-001
  jobscheduler run report-001 --wait

The run has a record with `trigger=manual` and is not a slot: the next slot does not change. Jobs that are disabled,
paused or done can be run; `overlap` applies as to a slot. A command of a job may run another job: that needs no further
worker, and its record says `trigger=run:RUN_ID`. --wait shows what the job prints as it comes; Ctrl-C stops the
waiting, not the job. Control characters are spelled out, but for colours on a terminal; --raw writes what was printed.
Exit status: 0 started (with --wait: success), 1 skipped, failed or no such job, 2 wrong usage, 3 service not
reachable."""

_WAIT = 25  # seconds that one request waits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job and the options."""
    parser.add_argument("job", metavar="JOB", help="the id of the job")
    parser.add_argument("--wait", action="store_true", help="wait for the end; show the output, exit 0 or 1")
    parser.add_argument("--raw", action="store_true", help="with --wait, write the output as it is")
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
    record = _wait_for(arguments, socket, begun["run_id"])
    return 0 if (record or {}).get("status") == "SUCCESS" else 1


def _print_answer(answer: Mapping[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(answer) if as_json else printable(text))


def _print_next(answer: Mapping[str, Any], as_json: bool) -> None:
    """Print on standard error the effect of the run on the next slot."""
    if answer.get("next_note") and not as_json:
        print(f"note: {answer['next_note']}", file=sys.stderr)


def _wait_for(arguments: argparse.Namespace, socket: Path, run_id: str) -> Mapping[str, Any] | None:
    """Wait for the end of a run and show its output as it comes; return its record, None if it never began."""
    if arguments.json:
        return _wait_silently(socket, run_id)
    display = TextDisplay(raw=arguments.raw, headings=False)
    record = follow(socket, run_id, display)
    display.finish(record)
    if record is None:
        print("the service stopped before the run began", file=sys.stderr)
    return record


def _wait_silently(socket: Path, run_id: str) -> Mapping[str, Any] | None:
    """Wait for the end of a run and print it as one JSON object."""
    while True:
        answer = request(socket, "GET", f"{api_path('runs', run_id)}?wait={_WAIT}")
        if answer["record"] is not None or answer["cancelled"]:
            print(json.dumps(answer))
            record: Mapping[str, Any] | None = answer["record"]
            return record
