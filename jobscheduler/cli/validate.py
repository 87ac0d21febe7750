"""`validate`: show every problem of every file. The service uses the same function, so it loads what passes here."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jobscheduler.cli import own_service
from jobscheduler.cli.job_files import STDIN, CheckedFile, Owners, check_file, check_stdin, path_argument
from jobscheduler.cli.options import (
    add_options,
    exposed_in_settings,
    portable_settings,
    settings_of_service,
    settings_path,
)
from jobscheduler.cli.problems import ArgumentProblem, print_problem, problem_json
from jobscheduler.config import Settings
from jobscheduler.config.job_context import check_settings_file, job_context
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Job, Problem
from jobscheduler.timetable.timezones import zone_note
from jobscheduler.util.text import quote

EXAMPLES = """examples:
  jobscheduler validate
  jobscheduler validate report.json cleanup.json /etc/scheduler/scheduler.toml
  jobscheduler validate --portable ./jobs.d
  jq '.task.cwd = "/srv"' report.json | jobscheduler validate -

Files may have any name, `-` is standard input, and `*.toml` a settings file. Without a path it is all that the service
would read: the jobs directory and the settings file.
What is legal but odd is a warning: a step that does not divide, both day fields, an hour that a clock change skips or
repeats, a program that is not there, a secret in a file that all may read.
Findings that depend on this host (an unknown user, a missing extra, a file that others may write) are errors for the
user of the service, and warnings for other users. `--portable` leaves them out, for a check on another host. With
`--as USER` a file that users other than USER may write is an error for every caller.
Exit status: 0 no errors, 1 errors, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the options."""
    which = "job files of any name, directories of them, a settings file `*.toml`, or `-`"
    parser.add_argument("paths", nargs="*", type=path_argument, metavar="PATH", help=which)
    parser.add_argument("--json", action="store_true", help="print one JSON object per problem")
    where = "leave out what depends on this host: users, programs, directories, extras, zones that it lacks"
    parser.add_argument("--portable", action="store_true", help=where)
    for_whom = "the user whose service reads the files, such as `root`: files that others may write are errors then"
    parser.add_argument("--as", dest="reader", type=_user, metavar="USER", help=for_whom)
    add_options(parser, {"jobs_dir", "timezone", "socket"})


_SERVICE_ZONE = "it is the time zone of the service; `--timezone NAME` sets another"


@dataclass(frozen=True, slots=True)
class _Check:
    """How files are checked: in which context, for the service of which user, and what is the caller's to mend."""

    rules: ParseContext
    reader: str | None
    is_of_service: bool

    def findings(self, checked: CheckedFile) -> Iterator[tuple[Problem, str]]:
        """Yield the problems and warnings of a file, each with its level."""
        problems = () if isinstance(checked.result, Job) else checked.result or ()
        is_error = self.is_of_service or self.reader is not None
        yield from ((problem, severity(problem, is_for_reader=is_error)) for problem in problems)
        yield from (
            (warning, self._severity_of_warning(warning)) for warning in (*checked.warnings, *checked.oddities())
        )

    def _severity_of_warning(self, warning: Problem) -> str:
        """Return the level of a warning: what a run will fail for is an error, if this user is the service's."""
        is_of_this_user = self.reader is None or pwd.getpwnam(self.reader).pw_uid == os.geteuid()
        is_error = warning.host_dependent and not warning.is_lint and is_of_this_user and self.is_of_service
        return "error" if is_error else "warning"


def run(arguments: argparse.Namespace) -> int:
    """Check all paths; print the problems and a summary."""
    settings = _settings(arguments)
    rules = replace(job_context(settings), is_portable=arguments.portable)
    is_of_service = is_user_of_service(arguments, settings)
    check = _Check(rules, arguments.reader or (_own_name() if is_of_service else None), is_of_service)
    files = bad = 0
    for checked in _checked_files(arguments.paths or _paths_of_service(arguments, settings), check):
        found = list(check.findings(checked))
        files += checked.result is not None
        bad += any(level == "error" for _, level in found)
        for problem, level in found:
            _print(problem, level, as_json=arguments.json)
    for warning in _about_settings(arguments, settings, rules):
        _print(warning, "warning", as_json=arguments.json)
    if not arguments.json:
        print(_summary(files, bad))
    return 1 if bad else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the service; for a portable check those of the command line alone, and UTC."""
    if not arguments.portable:
        return settings_of_service(arguments, {"timezone"} if arguments.paths else {"timezone", "jobs_dir"})
    if not arguments.paths:
        raise ArgumentProblem(Problem("`--portable` needs a path", help="name the files or directories to check"))
    return portable_settings(arguments)


def _paths_of_service(arguments: argparse.Namespace, settings: Settings) -> list[Path]:
    """Return all that the service would read: its settings file, if there is one, and its jobs directory."""
    file = settings.file.path or settings_path(arguments)
    return [*([file] if file is not None else []), settings.jobs_dir]


def is_user_of_service(arguments: argparse.Namespace, settings: Settings) -> bool:
    """Return whether the caller is the user as whom the service runs: root, or the owner of its socket."""
    if os.geteuid() == 0 or own_service.found(arguments, os.environ) is not None:
        return True
    try:
        return settings.socket.stat().st_uid == os.geteuid()
    except OSError:  # no service runs
        return False


def _own_name() -> str | None:
    """Return the name of a caller who is not root, whose own service has other rules than root's; else None."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() != 0 else None
    except KeyError:  # a container that runs as a uid without an entry
        return None


def _checked_files(paths: Iterable[Path], check: _Check) -> Iterator[CheckedFile]:
    owners: Owners = {}
    for path in paths:
        if path == STDIN:
            yield check_stdin(check.rules)
        elif path.suffix == ".toml" and not path.is_dir():
            yield CheckedFile(_of_settings_file(path, check.rules))
        else:
            yield from check_file(path, check.rules, check.reader, owners)


def _of_settings_file(path: Path, rules: ParseContext) -> tuple[Problem, ...]:
    found = check_settings_file(path, rules)
    return tuple(problem for problem in found if not (rules.is_portable and problem.host_dependent))


def _about_settings(arguments: argparse.Namespace, settings: Settings, rules: ParseContext) -> Iterator[Problem]:
    """Yield warnings about the zone of the service, and about secrets in its files if all of them are checked."""
    if note := zone_note(rules.zone.key):
        yield Problem(note, help=_SERVICE_ZONE)
    if not arguments.paths:
        yield from exposed_in_settings(arguments, settings)


def severity(problem: Problem, *, is_for_reader: bool = False) -> str:
    """Return the level of a problem for the calling user; with `is_for_reader` for the service."""
    return "warning" if problem.host_dependent and os.geteuid() != 0 and not is_for_reader else "error"


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
