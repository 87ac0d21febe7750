"""Job files as verbs read them that need no service: paths of files and directories to definitions or problems."""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jobscheduler import tasks
from jobscheduler.cli.exposed_secrets import exposed_secrets
from jobscheduler.config import Settings
from jobscheduler.jobs.directory import DirectorySource, OpenDirectory, is_job_file
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict, parse
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Job, Problem, name_sort_key
from jobscheduler.timetable.timezones import service_zone
from jobscheduler.util import trust
from jobscheduler.util.path_walk import is_missing

ParseResult = Job | tuple[Problem, ...]


def parse_context(settings: Settings) -> ParseContext:
    """Return what definitions are held against: the same as in the service, with the zone that it would have.

    Raises:
        UnknownTimezone: that zone cannot be told.

    """
    return ParseContext(service_zone(settings.timezone, os.environ), tasks.task_type, tasks.task_names())


def path_argument(text: str) -> Path:
    """Read a path of the command line; an empty one, of a shell variable that was not set, means nothing.

    Raises:
        argparse.ArgumentTypeError: it is empty.

    """
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; name a job file (`*.json`) or a directory of such files")
    return Path(text)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file as found: what it defines or what is wrong with it, and what else is to be told; or words about all."""

    result: ParseResult | None
    warnings: tuple[Problem, ...] = ()


def parse_path(path: Path, rules: ParseContext) -> Iterator[ParseResult]:
    """Yield a Job or the problems of each file that a path means; problems carry the path as the user would write it.

    In a directory an id belongs to the file whose name sorts first, as at a start of the service.
    """
    for one in check_file(path, rules):
        if one.result is not None:
            yield one.result


def check_file(path: Path, rules: ParseContext, reader: str | None = None) -> Iterator[CheckedFile]:
    """Yield what each file that a path means is, and warnings.

    Who may write the files is judged for the service of `reader`, a user, and a problem then. Without one it is judged
    for this user's service if this is root; for others by the rules of root's service, as warnings: what is theirs is
    on its way to a place of root's.
    """
    is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing
    if not is_directory and is_missing(path.parent / "."):
        yield CheckedFile(_missing(path))
        return
    source = _source(path if is_directory else path.parent, reader)
    try:
        with source.open() as view:
            if view.link_problem is not None:
                found = view.link_problem
                yield CheckedFile(
                    None, (Problem(found.message, str(source.path), help=found.help, host_dependent=True),)
                )
            yield from _directory(view, path, rules) if is_directory else [_file(view, path, rules)]
    except SourceUnavailable as reason:
        yield CheckedFile((Problem(str(reason), file=str(path), help=reason.help),))


def _source(directory: Path, reader: str | None) -> DirectorySource:
    uid = os.geteuid()
    if reader is not None:
        return DirectorySource(directory, trust.TrustRules(pwd.getpwnam(reader).pw_uid))
    if uid == 0:
        return DirectorySource(directory)
    return DirectorySource(directory, trust.TrustRules(0, trusted_uids=uid), is_lenient=True)


def _directory(view: OpenDirectory, path: Path, rules: ParseContext) -> Iterator[CheckedFile]:
    owners: dict[str, str] = {}
    for name in sorted(view.list_items(), key=name_sort_key):
        found = view.read(name)
        if found.is_missing:
            continue
        verdict = _parse_result(found, rules)
        if isinstance(verdict, Job):
            owner = owners.setdefault(verdict.id, name)
            verdict = verdict if owner == name else (id_conflict(found.raw or b"", name, verdict.id, owner),)
        yield _problem_text(found, verdict, path / name, rules)


def _file(view: OpenDirectory, path: Path, rules: ParseContext) -> CheckedFile:
    found = view.read(path.name)
    if found.is_missing:
        return CheckedFile(_missing(path))
    verdict = _parse_result(found, rules)
    if isinstance(verdict, Job) and not is_job_file(path.name):
        help_ = "name it `*.json`, without a dot in front"
        return CheckedFile((Problem("the service ignores a file of this name", file=str(path), help=help_),))
    return _problem_text(found, verdict, path, rules)


def _missing(path: Path) -> tuple[Problem, ...]:
    help_ = None if is_job_file(path.name) else "name a job file (`*.json`) or a directory of such files"
    return (Problem(f"there is no file or directory `{path}`", file=str(path), help=help_),)


def _parse_result(found: ReadResult, rules: ParseContext) -> ParseResult:
    """Judge the text; what could not be read, or is not to be, has none."""
    if found.problem is not None and found.raw is None:
        return (found.problem,)
    return parse(found.raw or b"", found.name, rules)


def _problem_text(found: ReadResult, verdict: ParseResult, path: Path, rules: ParseContext) -> CheckedFile:
    warnings = [] if found.problem is None or found.raw is None else [replace(found.problem, file=str(path))]
    if found.is_public and found.raw is not None:
        warnings += exposed_secrets(found.raw, str(path))
    if not isinstance(verdict, Job):
        verdict = tuple(replace(problem, file=str(path)) for problem in verdict)
    elif found.raw is not None:
        warnings += definition_warnings(found.raw, str(path), verdict, rules)
    return CheckedFile(verdict, tuple(warnings))
