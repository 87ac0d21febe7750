"""The arguments of a verb that takes jobs: ids, patterns, tags, or all."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from jobscheduler.control.client import request
from jobscheduler.model.selection import ALL, Selector

JOBS_HELP = "an id, a pattern such as `billing-*`, or a tag as `tag:backup`"


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs, of which at least one is needed, and `--all`."""
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=JOBS_HELP)
    parser.add_argument("--all", action="store_true", help="all jobs, also those that come later")
    parser.set_defaults(usage_error=parser.error)


def selected_ids(socket: Path, texts: Sequence[str]) -> list[str]:
    """Return the ids of the jobs that these select, in their order. A single id is not looked up.

    Raises:
        ServiceUnreachable: no service answers.
        ApiError: one of them selects no job.

    """
    single = Selector(texts[0]).job_id if len(texts) == 1 else None
    if single is not None:
        return [single]
    return list(request(socket, "POST", "/v1/select", {"jobs": list(texts)})["jobs"])


def selected_texts(arguments: argparse.Namespace) -> list[str]:
    """Return what selects the jobs; no job, or a job beside `--all`, is wrong usage and ends the program."""
    if bool(arguments.jobs) == arguments.all:
        arguments.usage_error("name jobs, or `--all`" if not arguments.all else "name jobs, or `--all`, not both")
    return [ALL] if arguments.all else list(arguments.jobs)
