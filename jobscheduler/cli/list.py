"""`list`: show every job of the running service with state, next slot and last result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from jobscheduler.cli.client_helpers import (
    EXIT_STATUSES,
    add_client_options,
    api_path,
    format_duration_or_dash,
    format_local_or_dash,
)
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.problems import print_problem
from jobscheduler.cli.table import Column, table, terminal_width, use_colour
from jobscheduler.control.client import request
from jobscheduler.model import Problem
from jobscheduler.status.snapshot import JobState
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import nearest, plural

SUMMARY = "show all jobs: state, next slot, last result"
EXAMPLES = f"""examples:
  jobscheduler list
  jobscheduler list 'report-*' --state running,waiting
  jobscheduler list --json | jq -r 'select(.stale) | .job_id'

Times are the host's. A stale job stays active as it was before its file became bad. A refused file is shown by
its name. --json prints one object per job, with times in UTC.
{EXIT_STATUSES}"""

_PAINT = {
    "running": "green",
    "waiting": "yellow",
    "paused": "yellow",
    "stale": "red",
    "refused": "red",
    "SUCCESS": "green",
    "FAILURE": "red",
    "MISSED": "red",
    "SKIPPED": "yellow",
}
_COLUMNS = (
    Column("JOB"),
    Column("STATE", colour_of=lambda text: _PAINT.get(text.partition(" ")[0])),
    Column("NEXT", keep_whole=True),
    Column("LAST", colour_of=lambda text: _PAINT.get(text.partition(" ")[0])),
    Column("AT", keep_whole=True),
    Column("TOOK", right=True, keep_whole=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the patterns and the options."""
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="ids, or patterns such as `report-*` (default: all)")
    parser.add_argument("--state", type=_states, metavar="STATE,...", help=f"only these: {', '.join(JobState)}")
    add_client_options(parser)


def _states(text: str) -> frozenset[str]:
    states = frozenset(word.strip().lower() for word in text.split(","))
    wrong = sorted(states - set(JobState))
    if wrong:
        named = ", ".join(f"`{word}`" for word in wrong)
        raise argparse.ArgumentTypeError(f"no such state: {named}; there are {', '.join(JobState)}")
    return states


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    jobs = request(client_settings(arguments).socket, "GET", api_path("jobs"))["jobs"]
    found = [job for job in jobs if _is_selected(job, arguments.jobs, arguments.state)]
    if arguments.json:
        for job in found:
            print(json.dumps(job))
    elif found:
        for line in table(_COLUMNS, _rows(found, utc_now()), width=terminal_width(), colour=use_colour(sys.stdout)):
            print(line)
        _summarise(jobs)
    missing = [pattern for pattern in arguments.jobs if not any(_is_selected(job, [pattern], None) for job in jobs)]
    if missing or (arguments.jobs and not found):
        names = ", ".join(f"`{pattern}`" for pattern in missing or arguments.jobs)
        message = f"no job matches {names}" if missing else f"no job that matches {names} is in such a state"
        print_problem(Problem(message, help=_suggestion(jobs, missing)), sys.stderr)
        return 1
    return 0


def _suggestion(jobs: Iterable[Mapping[str, Any]], missing: Iterable[str]) -> str:
    """Suggest jobs for unknown names, except for patterns."""
    names = [job["job_id"] or job["file"] for job in jobs]
    alike = [nearest(name, names) for name in missing if not set(name) & set("*?[")]
    found = [f"`{name}`" for name in alike if name is not None]
    return f"did you mean {', '.join(found)}?" if found else "`jobscheduler list` shows all jobs"


def _is_selected(job: Mapping[str, Any], patterns: Iterable[str], states: frozenset[str] | None) -> bool:
    names = [name for name in (job["job_id"], job["file"]) if name]
    is_named = not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
    return is_named and (states is None or job["state"] in states or ("stale" in states and job["stale"]))


def _rows(jobs: Iterable[Mapping[str, Any]], now: datetime) -> Iterator[tuple[str, ...]]:
    for job in jobs:
        last = job["last"] or {}
        result = " ".join(filter(None, (last.get("status"), last.get("reason")))) or "-"
        yield (
            job["job_id"] or job["file"],
            _state(job, now),
            format_local_or_dash(job["next"], now),
            result,
            format_local_or_dash(last.get("time"), now),
            format_duration_or_dash(last.get("duration")),
        )


def _state(job: Mapping[str, Any], now: datetime) -> str:
    """Format the state, the duration of the active run, and flags."""
    begun = [
        datetime.fromisoformat(run["started"])
        for run in job["active_runs"]
        if run["started"] and not run["waiting_for"]
    ]
    details = [format_duration_or_dash((now - min(begun)).total_seconds())] if begun else []
    details += [word for word in ("stale", "paused") if job[word] and word != job["state"]]
    ends = [pause["until"] for pause in job["pauses"]]
    if ends and None not in ends:
        details.append(f"until {format_local_or_dash(max(ends), now)}")
    return " ".join((job["state"], *details))


def _summarise(jobs: Iterable[Mapping[str, Any]]) -> None:
    """Report files and rows with problems on standard error, whatever jobs were selected."""
    bad = [str(job["file"]) for job in jobs if job["problems"]]
    rows = sum("/" in name for name in bad)
    counts = ((len(bad) - rows, "file"), (rows, "row"))
    what = " and ".join(plural(count, noun) for count, noun in counts if count)
    if what:
        print(f"{what} with problems: `jobscheduler status` shows them", file=sys.stderr)
