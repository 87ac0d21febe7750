"""`validate`: show every problem of every file. The service uses the same function, so it loads what passes here."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

from jobscheduler.cli.job_files import CheckedFile, check_file, path_argument
from jobscheduler.cli.options import add_options, exposed_in_settings, settings_of_service
from jobscheduler.cli.problems import ArgumentProblem, print_problem, problem_json
from jobscheduler.config.job_context import check_settings_file, job_context
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Job, Problem
from jobscheduler.timetable.timezones import zone_note
from jobscheduler.util.text import quote

EXAMPLES = """examples:
  jobscheduler validate /etc/scheduler/jobs.d
  jobscheduler validate report.json cleanup.json
  jobscheduler validate /etc/scheduler/scheduler.toml
  jobscheduler validate --json ./jobs.d

What is legal but probably a mistake is a warning: a no-break space in a command, a zone whose sign is reversed.
Findings that depend on the host or the user (an unknown user, a missing extra, a file that others may write) are
errors for root, as which the service runs, and warnings for other users. With `--as USER` a file that users other than
USER may write is an error for every caller, so that a pipeline can use the exit status.
Exit status: 0 no errors, 1 errors, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the options."""
    which = "job files, directories of them, or a settings file `*.toml` (default: the jobs directory)"
    parser.add_argument("paths", nargs="*", type=path_argument, metavar="PATH", help=which)
    parser.add_argument("--json", action="store_true", help="print one JSON object per problem")
    for_whom = "the user whose service reads the files, such as `root`: files that others may write are errors then"
    parser.add_argument("--as", dest="reader", type=_user, metavar="USER", help=for_whom)
    add_options(parser, {"jobs_dir", "timezone", "socket"})


_SERVICE_ZONE = "it is the time zone of the service; `--timezone NAME` sets another"


def run(arguments: argparse.Namespace) -> int:
    """Check all paths; print the problems and a summary."""
    settings = settings_of_service(arguments, {"timezone"} if arguments.paths else {"timezone", "jobs_dir"})
    rules = job_context(settings)
    files = bad = 0
    for path in arguments.paths or [settings.jobs_dir]:
        for checked in _check(path, rules, arguments.reader):
            problems = () if isinstance(checked.result, Job) else checked.result or ()
            found = [
                *((problem, severity(problem, is_for_reader=arguments.reader is not None)) for problem in problems),
                *((warning, _severity_of_warning(warning, arguments.reader)) for warning in checked.warnings),
            ]
            files += checked.result is not None
            bad += any(level == "error" for _, level in found)
            for problem, level in found:
                _print(problem, level, as_json=arguments.json)
    if note := zone_note(rules.zone.key):
        _print(Problem(note, help=_SERVICE_ZONE), "warning", as_json=arguments.json)
    for exposed in () if arguments.paths else exposed_in_settings(arguments, settings):
        _print(exposed, "warning", as_json=arguments.json)
    if not arguments.json:
        print(_summary(files, bad))
    return 1 if bad else 0


def _check(path: Path, rules: ParseContext, reader: str | None) -> Iterator[CheckedFile]:
    """Check a settings file, which is named `*.toml`, or job files."""
    if path.suffix == ".toml" and not path.is_dir():
        yield CheckedFile(check_settings_file(path, rules))
    else:
        yield from check_file(path, rules, reader)


def severity(problem: Problem, *, is_for_reader: bool = False) -> str:
    """Return the level of a problem for the calling user; with `is_for_reader` for the service."""
    return "warning" if problem.host_dependent and os.geteuid() != 0 and not is_for_reader else "error"


def _severity_of_warning(warning: Problem, reader: str | None) -> str:
    """Return the level of a warning: what a run will fail for is an error, if this user is the service's, root."""
    is_of_this_user = reader is None or pwd.getpwnam(reader).pw_uid == os.geteuid()
    return "error" if warning.host_dependent and is_of_this_user and os.geteuid() == 0 else "warning"


def _user(name: str) -> str:
    """Read the name of a user.

    Raises:
        ArgumentProblem: there is no such user.

    """
    try:
        return pwd.getpwnam(name).pw_name
    except KeyError:
        raise ArgumentProblem(Problem(f"`--as`: there is no user {quote(name)} on this host")) from None


def _print(problem: Problem, level: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(problem_json(problem, level)))
    else:
        print_problem(problem, sys.stdout, level=level)
        print()


def _summary(files: int, bad: int) -> str:
    checked = "1 file" if files == 1 else f"{files} files"
    return f"{checked} checked, no errors" if not bad else f"{checked} checked, {bad} with errors"
