"""`status`: show the state of the service, its issues and the problems of job files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jobscheduler.cli.client_verbs import (
    add_client_options,
    api_path,
    format_duration,
    format_local,
    join_or_none,
    plural,
    utc_now,
)
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.table import printable
from jobscheduler.control.client import request

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


def _lines(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    up = format_duration((now - datetime.fromisoformat(told["started"])).total_seconds())
    yield f"jobscheduler {told['version']}, process {told['pid']}, up for {up}"
    yield f"jobs       {join_or_none(f'{count} {state}' for state, count in told['jobs'].items() if count)}"
    lost = f", {plural(told['lost_threads'], 'thread')} lost" if told["lost_threads"] else ""
    yield f"runs       {told['running']} running, {told['queued']} waiting for one of {told['workers']} workers{lost}"
    yield f"next slot  {format_local(told['next'], now)}"
    yield f"last tick  {format_duration(told['last_tick_age'])} ago"
    if told["jobs_dir"]:
        yield f"directory  {told['jobs_dir']}"
    if told["database"]:
        yield f"database   {told['database']}"
    yield f"log        {told['log_file']}"
    yield f"time zone  {told['timezone']}"
    if told.get("pending_alert_count"):
        more = told["pending_alert_count"] - len(told["pending_alerts"])
        rest = f" and {more} more" if more else ""
        yield f"alerts     {told['pending_alert_count']} pending: {', '.join(told['pending_alerts'])}{rest}"
    if told.get("open_pipe_count"):
        yield _left_pipes(told["open_pipes"], told["open_pipe_count"])
    if told["late_part"]:
        yield f"wrong      {told['late_part']} is not on time"
    for note in told.get("notes", ()):
        yield f"note       {note}"
    for issue in told["issues"]:
        yield f"wrong      {issue}"
    for problem in told["problems"]:
        yield from _problem(problem)


def _left_pipes(jobs: Mapping[str, int], count: int) -> str:
    more = count - sum(jobs.values())
    rest = f" and {more} of other jobs" if more else ""
    named = ", ".join(f"{job_id} ({pipes})" for job_id, pipes in jobs.items())
    return f"pipes      {plural(count, 'output pipe')} open in processes that ended runs left behind: {named}{rest}"


def _problem(problem: Mapping[str, Any]) -> Iterator[str]:
    place = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
    yield f"{problem['state']:9}  {problem['file']}{place}: {problem['message']}"
    if problem["help"]:
        yield f"           help: {problem['help']}"
