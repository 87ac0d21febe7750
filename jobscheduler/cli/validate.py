"""`validate`: every problem of every file at once. What it accepts, the service loads: both are the same function."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from jobscheduler.cli.files import definitions, path_named, rules_of
from jobscheduler.cli.options import add_options, settings_of
from jobscheduler.cli.problems import as_object, show
from jobscheduler.model import Job, Problem
from jobscheduler.parse import Rules, oddities

SUMMARY = "check job files and show all their problems"
EXAMPLES = """examples:
  jobscheduler validate /etc/scheduler/jobs.d
  jobscheduler validate report.json cleanup.json
  jobscheduler validate --json ./jobs.d

Findings that depend on the host or the user (an unknown user, a missing extra, who may write the file) are errors
for root, whom the service runs as, and warnings for others. Exit status: 0 no errors, 1 errors, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the options."""
    which = "files or directories (default: the jobs directory)"
    parser.add_argument("paths", nargs="*", type=path_named, metavar="PATH", help=which)
    parser.add_argument("--json", action="store_true", help="print one JSON object per problem")
    add_options(parser, {"jobs_dir", "timezone"})


def run(arguments: argparse.Namespace) -> int:
    """Check all paths; print the problems and a summary."""
    settings = settings_of(arguments)
    rules = rules_of(settings)
    files = bad = 0
    for path in arguments.paths or [settings.jobs_dir]:
        for verdict in definitions(path, rules):
            problems = () if isinstance(verdict, Job) else verdict
            files += 1
            bad += any(level_of(problem) == "error" for problem in problems)
            for problem in problems:
                _print(problem, level_of(problem), as_json=arguments.json)
            if isinstance(verdict, Job):
                for problem in _odd(verdict, path, rules):
                    _print(problem, "warning", as_json=arguments.json)
    if not arguments.json:
        print(_summary(files, bad))
    return 1 if bad else 0


def level_of(problem: Problem) -> str:
    """Say how much a problem matters to who asks."""
    return "warning" if problem.host and os.geteuid() != 0 else "error"


def _odd(job: Job, path: Path, rules: Rules) -> Iterator[Problem]:
    """Yield what is legal and hardly meant."""
    file = path / job.origin if path.is_dir() else path
    try:
        raw = file.read_bytes()
    except OSError:
        raw = b""
    return oddities(job, raw, str(file), rules)


def _print(problem: Problem, level: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_object(problem, level)))
    else:
        show(problem, sys.stdout, level=level)
        print()


def _summary(files: int, bad: int) -> str:
    checked = "1 file" if files == 1 else f"{files} files"
    return f"{checked} checked, no errors" if not bad else f"{checked} checked, {bad} with errors"
