"""`stop`: end runs at work, with their further attempts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, format_duration_or_dash
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.service_restart import wait_for_end
from jobscheduler.cli.table import colourize, use_colour
from jobscheduler.control.client import request
from jobscheduler.model import Problem
from jobscheduler.util.instants import utc_now
from jobscheduler.util.terminal_text import printable

EXAMPLES = """examples:
  jobscheduler stop report-001
  jobscheduler stop 5f3c2a9d --wait
  jobscheduler stop 'billing-*' tag:backup

A run is named by its id or the beginning of it; `list --json` and `history` show the ids. A job, a pattern and a tag
mean all runs of the jobs: those at work, those that wait for a worker or for their turn, and those that wait for a
further attempt. The processes of a command get TERM, and KILL after five seconds. The record of the run says
FAILURE reason=stopped, or SKIPPED reason=stopped if it had not begun, and by= who stopped it; no alert is given. The
next slot of the job does not change: `pause` keeps it from running.
Exit status: 0 all of them are being stopped (with --wait: have ended), 1 something named has no run at work, or a
process could not be ended, 2 wrong usage, 3 service not reachable."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to stop and the options."""
    help_ = "the id of a job or of a run, a pattern such as `billing-*`, or a tag as `tag:backup`"
    parser.add_argument("targets", nargs="+", metavar="JOB|RUN", help=help_)
    parser.add_argument("--wait", action="store_true", help="wait until the runs have ended")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the end of the runs, and wait for it with `--wait`."""
    socket = client_settings(arguments).socket
    answer = request(socket, "POST", "/v1/stop", {"targets": arguments.targets})
    runs, idle = answer["runs"], answer["idle"]
    if not arguments.json:
        _show(runs, idle, utc_now())
    ended = [_wait_for(socket, one["run_id"]) for one in runs if one["action"] == "stop"] if arguments.wait else []
    if arguments.json:
        print(json.dumps({"runs": runs, "idle": idle, **({"ended": ended} if arguments.wait else {})}))
    else:
        _show_ends(ended)
    return 1 if idle or not runs or any(one["left"] for one in ended) else 0


def _show(runs: Iterable[Mapping[str, Any]], idle: Iterable[Mapping[str, Any]], now: datetime) -> None:
    for one in runs:
        print(printable(f"run {one['run_id']} of `{one['job_id']}` {_action(one, now)}"))
    sys.stdout.flush()
    for one in idle:
        print_problem(Problem(one["message"], help=one["help"]), sys.stderr)


def _action(one: Mapping[str, Any], now: datetime) -> str:
    if one["action"] == "skip":
        return "is skipped: it had not begun"
    details = [f"process {one['pid']}"] if one["pid"] else []
    if one["started"]:
        seconds = (now - datetime.fromisoformat(one["started"])).total_seconds()
        details.append(f"begun {format_duration_or_dash(max(0.0, seconds))} ago")
    return f"is being stopped ({', '.join(details)})" if details else "is being stopped"


def _wait_for(socket: Path, run_id: str) -> Mapping[str, Any]:
    answer = wait_for_end(socket, run_id)
    return {key: answer[key] for key in ("run_id", "record", "left")}


def _show_ends(ended: Iterable[Mapping[str, Any]]) -> None:
    for one in ended:
        record = one["record"] or {}
        word = colourize(str(record.get("status", "-")), "yellow" if use_colour(sys.stdout) else None)
        known = "".join(f" {key}={printable(str(record[key]))}" for key in ("reason", "error") if record.get(key))
        took = format_duration_or_dash(record.get("duration"))
        print(f"run {one['run_id']} of `{record.get('job_id', '-')}`: {word} after {took}{known}")
