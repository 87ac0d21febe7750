"""Read job files for verbs that need no service: paths to definitions or problems."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import OpenDirectory, is_job_file
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict, parse
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Job, Problem, name_sort_key
from jobscheduler.util import trust
from jobscheduler.util.exposed_secrets import exposed_in_definition
from jobscheduler.util.path_walk import is_missing

ParseResult = Job | tuple[Problem, ...]


def path_argument(text: str) -> Path:
    """Parse a path of the command line. An empty one, as from an unset shell variable, is an error.

    Raises:
        ArgumentProblem: it is empty.

    """
    if not text:
        help_ = "name a job file (`*.json`) or a directory of such files"
        raise ArgumentProblem(Problem("a path is empty", help=help_))
    return Path(text)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One file: its job or its problems, and warnings. Without a result the warnings concern the directory."""

    result: ParseResult | None
    warnings: tuple[Problem, ...] = ()


def parse_path(path: Path, rules: ParseContext) -> Iterator[ParseResult]:
    """Yield a Job or the problems of each file that a path means; problems carry the path as the user would write it.

    In a directory an id belongs to the file whose name sorts first, as at a start of the service.
    """
    for checked in check_file(path, rules):
        if checked.result is not None:
            yield checked.result


def check_file(path: Path, rules: ParseContext, reader: str | None = None) -> Iterator[CheckedFile]:
    """Yield each file of a path with its result and warnings.

    With `reader`, write permissions are checked for that user's service, and faults are problems. Without it a
    caller who is root gets the check for root's service. For other callers the same rules give warnings, because their
    files are usually installed for root later.
    """
    is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing
    if not is_directory and is_missing(path.parent / "."):
        yield CheckedFile(_missing(path))
        return
    source = _source(path if is_directory else path.parent, reader)
    try:
        with source.open() as view:
            if view.trust_problem is not None:
                found = view.trust_problem
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
        item = view.read(name)
        if item.is_missing:
            continue
        verdict = _parse_result(item, rules)
        if isinstance(verdict, Job):
            owner = owners.setdefault(verdict.id, name)
            verdict = verdict if owner == name else (id_conflict(item.raw or b"", name, verdict.id, owner),)
        yield _checked_file(item, verdict, path / name, rules)


def _file(view: OpenDirectory, path: Path, rules: ParseContext) -> CheckedFile:
    item = view.read(path.name)
    if item.is_missing:
        return CheckedFile(_missing(path))
    verdict = _parse_result(item, rules)
    if isinstance(verdict, Job) and not is_job_file(path.name):
        help_ = "name it `*.json`, without a dot in front"
        return CheckedFile((Problem("the service ignores a file of this name", file=str(path), help=help_),))
    return _checked_file(item, verdict, path, rules)


def _missing(path: Path) -> tuple[Problem, ...]:
    help_ = None if is_job_file(path.name) else "name a job file (`*.json`) or a directory of such files"
    return (Problem(f"there is no file or directory `{path}`", file=str(path), help=help_),)


def _parse_result(item: ReadResult, rules: ParseContext) -> ParseResult:
    """Parse a read file; return its problem if it has no text."""
    if item.problem is not None and item.raw is None:
        return (item.problem,)
    return parse(item.raw or b"", item.name, rules)


def _checked_file(item: ReadResult, verdict: ParseResult, path: Path, rules: ParseContext) -> CheckedFile:
    warnings = [] if item.problem is None or item.raw is None else [replace(item.problem, file=str(path))]
    if item.public_path is not None and item.raw is not None:
        warnings += exposed_in_definition(item.raw, str(path))
    if not isinstance(verdict, Job):
        verdict = tuple(replace(problem, file=str(path)) for problem in verdict)
    elif item.raw is not None:
        warnings += definition_warnings(item.raw, str(path), verdict, rules)
    return CheckedFile(verdict, tuple(warnings))
