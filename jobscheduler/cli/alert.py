"""`alert test`: send the alerts of a job, or of the service, as a test, and tell what came of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, api_path, format_duration_or_dash
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.table import colourize, use_colour
from jobscheduler.cli.usage import one_of
from jobscheduler.control.client import request
from jobscheduler.util.terminal_text import printable, printable_lines

EXAMPLES = """examples:
  jobscheduler alert test backup
  jobscheduler alert test

Sends what would be sent if the job failed or recovered, marked as a test (`JOB_ALERT=test`), and tells what the
receiver answered. Without a job it sends the alerts of the service, which are for all jobs without their own.
Exit status: 0 every alert was sent, 1 one failed or there is none, 2 wrong usage, 3 service not reachable."""

_WAIT_S = 25  # that one request waits
_LIMIT_S = 90.0  # after which no further answer is expected: the service ends an alert after 60 seconds and its grace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, the job and the options."""
    parser.add_argument("action", type=one_of("action", ["test"]), metavar="test", help="send what would be sent")
    parser.add_argument("job", nargs="?", metavar="JOB", help="the id of the job (default: the service's own alerts)")
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask for the test, wait for its end, and print what came of it."""
    socket = client_settings(arguments).socket
    path = ("alerts", "test", arguments.job) if arguments.job else ("alerts", "test")
    test_id = request(socket, "POST", api_path(*path))["test_id"]
    alerts = _wait_for(socket, test_id)
    if arguments.json:
        print(json.dumps({"alerts": alerts}))
    else:
        for alert in alerts:
            for line in _lines(alert):
                print(line)
    return 0 if all(alert.get("ok") for alert in alerts) else 1


def _wait_for(socket: Path, test_id: str) -> Sequence[Mapping[str, Any]]:
    """Return what came of each alert, when all have ended or none will any more."""
    until = time.monotonic() + _LIMIT_S
    while True:
        answer = request(socket, "GET", f"{api_path('alerts', 'test', test_id)}?wait={_WAIT_S}")
        alerts: Sequence[Mapping[str, Any]] = answer["alerts"]
        if all(alert["ended"] for alert in alerts) or time.monotonic() > until:
            return alerts


def _lines(alert: Mapping[str, Any]) -> Iterator[str]:
    if not alert["ended"]:
        yield f"{alert['alert']}: has not ended; `jobscheduler status` names alerts that wait"
        return
    colour = "green" if alert["ok"] else "red"
    word = colourize("sent" if alert["ok"] else "failed", colour if use_colour(sys.stdout) else None)
    reason = "" if alert["ok"] else f", {alert['reason']}"
    details = "".join(f" {key}={printable(str(value))}" for key, value in alert["details"].items() if key != "error")
    yield f"{alert['alert']}: {word} after {format_duration_or_dash(alert['duration'])}{reason}{details}"
    if error := alert["details"].get("error"):
        yield f"  error: {printable(str(error))}"
    yield from (f"  {line}" for line in printable_lines(alert["output"]).splitlines())
