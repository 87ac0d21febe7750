"""`validate`: every problem of every file at once. What it accepts, the service loads: both are the same function."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobscheduler import tasks
from jobscheduler.cli.options import add_options, settings_of
from jobscheduler.cli.problems import as_object, show
from jobscheduler.model import Job, Problem
from jobscheduler.parse import Rules, conflict, parse
from jobscheduler.sources import SourceUnavailable, View
from jobscheduler.sources.directory import DirectorySource, is_job_file
from jobscheduler.zone import ZoneUnknown, service_zone

SUMMARY = "check job files and show all their problems"
EXAMPLES = """examples:
  jobscheduler validate /etc/scheduler/jobs.d
  jobscheduler validate report.json cleanup.json
  jobscheduler validate --json ./jobs.d

Findings that depend on the host or the user (an unknown user, a missing extra, who may write the file) are errors
for root, whom the service runs as, and warnings for others. Exit status: 0 no errors, 1 errors, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the options."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or directories (default: the jobs directory)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per problem")
    add_options(parser, {"jobs_dir", "timezone"})


def run(arguments: argparse.Namespace) -> int:
    """Check all paths; print the problems and a summary."""
    settings = settings_of(arguments)
    try:
        zone = service_zone(settings.timezone, os.environ)
    except ZoneUnknown as unknown:
        show(Problem(str(unknown), help=unknown.help), sys.stderr)
        return 1
    rules = Rules(zone, tasks.task_type, tasks.task_names())
    files, bad, errors = 0, 0, 0
    for path in [Path(one) for one in arguments.paths] or [settings.jobs_dir]:
        for problems in _problems_of(path, rules):
            files += 1
            bad += any(_level(problem) == "error" for problem in problems)
            for problem in problems:
                errors += _level(problem) == "error"
                _print(problem, as_json=arguments.json)
    if not arguments.json:
        print(_summary(files, bad))
    return 1 if errors else 0


def _problems_of(path: Path, rules: Rules) -> Iterator[tuple[Problem, ...]]:
    """Yield the problems of each file that a path means, with the path as the user would write it."""
    try:
        if path.is_dir():
            with DirectorySource(path).look() as view:
                yield from _directory(view, path, rules)
        else:
            with DirectorySource(path.parent).look() as view:
                yield _file(view, path, rules)
    except SourceUnavailable as reason:
        yield (Problem(str(reason), file=str(path), help=reason.help),)


def _directory(view: View, path: Path, rules: Rules) -> Iterator[tuple[Problem, ...]]:
    owners: dict[str, str] = {}
    for name in sorted(view.listing()):
        found = view.read(name)
        if found.gone:
            continue
        verdict = (found.problem,) if found.problem else parse(found.raw or b"", name, rules)
        if isinstance(verdict, Job):
            owner = owners.setdefault(verdict.id, name)
            verdict = () if owner == name else (conflict(found.raw or b"", name, verdict.id, owner),)
        yield tuple(replace(problem, file=str(path / name)) for problem in verdict)


def _file(view: View, path: Path, rules: Rules) -> tuple[Problem, ...]:
    found = view.read(path.name)
    if found.gone:
        return (Problem(f"there is no file or directory `{path}`", file=str(path)),)
    verdict = (found.problem,) if found.problem else parse(found.raw or b"", path.name, rules)
    problems = () if isinstance(verdict, Job) else tuple(replace(one, file=str(path)) for one in verdict)
    if not problems and not is_job_file(path.name):
        help_ = "name it `*.json`, without a dot in front"
        return (Problem("the service ignores a file of this name", file=str(path), help=help_),)
    return problems


def _level(problem: Problem) -> str:
    return "warning" if problem.host and os.geteuid() != 0 else "error"


def _print(problem: Problem, *, as_json: bool) -> None:
    level = _level(problem)
    if as_json:
        print(json.dumps(as_object(problem, level)))
    else:
        show(problem, sys.stdout, level=level)
        print()


def _summary(files: int, bad: int) -> str:
    checked = "1 file" if files == 1 else f"{files} files"
    return f"{checked} checked, no errors" if not bad else f"{checked} checked, {bad} with errors"
