"""`status`: show the state of the service, its issues and the problems of job files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jobscheduler.cli.client_helpers import (
    add_client_options,
    api_path,
    format_duration_or_dash,
    format_local_or_dash,
    join_or_none,
)
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.pause_text import describe_pause
from jobscheduler.control.client import request
from jobscheduler.util.instants import utc_now
from jobscheduler.util.terminal_text import printable
from jobscheduler.util.text import plural

SUMMARY = "show the state of the service, and what is wrong"
EXAMPLES = """examples:
  jobscheduler status
  jobscheduler status --json

As a check of health: the exit status is 0 only if scheduling, watching and logging work and every job file is
accepted.
Exit status: 0 all is well, 1 something is wrong, 2 wrong usage, 3 service not reachable."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the state; return 1 if anything is wrong."""
    status = request(client_settings(arguments).socket, "GET", api_path("status"))
    if arguments.json:
        print(json.dumps(status))
    else:
        for line in _lines(status, utc_now()):
            print(printable(line))
    return 1 if status["issues"] or status["late_part"] or status["problems"] else 0


def _lines(status: Mapping[str, Any], now: datetime) -> Iterator[str]:
    up = format_duration_or_dash((now - datetime.fromisoformat(status["started"])).total_seconds())
    yield f"jobscheduler {status['version']}, process {status['pid']}, up for {up}"
    yield f"jobs       {join_or_none(f'{count} {state}' for state, count in status['jobs'].items() if count)}"
    yield f"runs       {_runs(status)}"
    yield f"next slot  {format_local_or_dash(status['next'], now)}"
    yield f"last tick  {format_duration_or_dash(status['last_tick_age'])} ago"
    if status["jobs_dir"]:
        yield f"directory  {status['jobs_dir']}"
    if status["database"]:
        yield f"database   {status['database']}"
    yield f"log        {status['log_file']}"
    yield f"time zone  {status['timezone']}"
    if status.get("pending_alert_count"):
        more = status["pending_alert_count"] - len(status["pending_alerts"])
        rest = f" and {more} more" if more else ""
        yield f"alerts     {status['pending_alert_count']} pending: {', '.join(status['pending_alerts'])}{rest}"
    if status.get("open_pipe_count"):
        yield _open_pipes(status["open_pipes"], status["open_pipe_count"])
    for pause in status.get("pauses", ()):
        yield f"paused     {describe_pause(pause, now)}"
    if status["late_part"]:
        yield f"wrong      {status['late_part']} is not on time"
    for note in status.get("notes", ()):
        yield f"note       {note}"
    for issue in status["issues"]:
        yield f"wrong      {issue}"
    for problem in status["problems"]:
        yield from _problem(problem)


def _runs(status: Mapping[str, Any]) -> str:
    lost = f", {plural(status['lost_threads'], 'thread')} lost" if status["lost_threads"] else ""
    return f"{status['running']} running, {status['queued']} waiting for one of {status['workers']} workers{lost}"


def _open_pipes(jobs: Mapping[str, int], count: int) -> str:
    more = count - sum(jobs.values())
    rest = f" and {more} of other jobs" if more else ""
    named = ", ".join(f"{job_id} ({pipes})" for job_id, pipes in jobs.items())
    return f"pipes      {plural(count, 'output pipe')} open in processes that ended runs left behind: {named}{rest}"


def _problem(problem: Mapping[str, Any]) -> Iterator[str]:
    place = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
    yield f"{problem['state']:9}  {problem['file']}{place}: {problem['message']}"
    if problem["help"]:
        yield f"           help: {problem['help']}"
