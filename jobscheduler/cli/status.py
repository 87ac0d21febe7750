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

SUMMARY = "show how the service is, and what is wrong"
EXAMPLES = """examples:
  jobscheduler status
  jobscheduler status --json

As a check of health: the exit status is 0 only if scheduling, watching and logging work and every job file is in
force as it stands.
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
    return 1 if status["trouble"] or status["late"] or status["problems"] else 0


def _lines(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    up = format_duration((now - datetime.fromisoformat(told["started"])).total_seconds())
    yield f"jobscheduler {told['version']}, process {told['pid']}, up for {up}"
    yield f"jobs       {join_or_none(f'{count} {state}' for state, count in told['jobs'].items() if count)}"
    lost = f", {plural(told['lost_threads'], 'thread')} lost" if told["lost_threads"] else ""
    yield f"runs       {told['running']} going on, {told['queued']} waiting for one of {told['workers']} workers{lost}"
    yield f"next slot  {format_local(told['next'], now)}"
    yield f"last tick  {format_duration(told['last_tick'])} ago"
    if told["jobs_dir"]:
        yield f"directory  {told['jobs_dir']}"
    if told["database"]:
        yield f"database   {told['database']}"
    yield f"log        {told['log_file']}"
    yield f"time zone  {told['timezone']}"
    if told.get("alerts_waiting"):
        more = told["alerts_waiting"] - len(told["alerts"])
        rest = f" and {more} more" if more else ""
        yield f"alerts     {told['alerts_waiting']} waiting: {', '.join(told['alerts'])}{rest}"
    if told.get("left_pipes_open"):
        yield _left_pipes(told["left_pipes"], told["left_pipes_open"])
    if told["late"]:
        yield f"wrong      {told['late']} is not on time"
    for note in told.get("notes", ()):
        yield f"note       {note}"
    for trouble in told["trouble"]:
        yield f"wrong      {trouble}"
    for problem in told["problems"]:
        yield from _problem(problem)


def _left_pipes(jobs: Mapping[str, int], count: int) -> str:
    more = count - sum(jobs.values())
    rest = f" and {more} of other jobs" if more else ""
    named = ", ".join(f"{job_id} ({pipes})" for job_id, pipes in jobs.items())
    return f"left open  {plural(count, 'output pipe')} of processes that ended runs have left: {named}{rest}"


def _problem(problem: Mapping[str, Any]) -> Iterator[str]:
    place = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
    yield f"{problem['state']:9}  {problem['file']}{place}: {problem['message']}"
    if problem["help"]:
        yield f"           help: {problem['help']}"
