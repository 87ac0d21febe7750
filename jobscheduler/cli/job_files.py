"""Read job files for verbs that need no service: paths to definitions or problems."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import OpenDirectory, is_job_file
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict, parse
from jobscheduler.jobs.sources import ReadResult, SourceUnavailable
from jobscheduler.model import Job, Problem, name_sort_key
from jobscheduler.model.errors import ProblemError
from jobscheduler.util import json_text, trust
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
    """One file: its job or its problems, and warnings. Without a result the warnings concern the directory.

    `oddities` looks for what is legal and odd, which takes longer than to parse the file.
    """

    result: ParseResult | None
    warnings: tuple[Problem, ...] = ()
    oddities: Callable[[], tuple[Problem, ...]] = tuple


def parse_path(path: Path, rules: ParseContext) -> Iterator[ParseResult]:
    """Yield a Job or the problems of each file that a path means; problems carry the path as the user would write it.

    In a directory an id belongs to the file whose name sorts first, as at a start of the service.
    """
    for checked in check_file(path, rules):
        if checked.result is not None:
            yield checked.result


@dataclass(frozen=True, slots=True)
class ReadFile:
    """One job file with its text, and its job or its problems. Nothing is said of other files with the same id."""

    name: str
    path: Path
    raw: bytes
    result: ParseResult

    def parsed(self, rules: ParseContext) -> ReadFile:
        """Return the same file, parsed in another context."""
        return replace(self, result=parse(self.raw, self.name, rules))


def read_path(path: Path, rules: ParseContext, *, is_trusted: bool = False) -> Iterator[ReadFile]:
    """Yield each job file of a path. If it `is_trusted`, its owners and modes do not matter.

    Raises:
        ProblemError: the path is not there, or cannot be read.

    """
    is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing
    source = DirectorySource(path if is_directory else path.parent, is_lenient=is_trusted)
    try:
        with source.open() as view:
            names = sorted(view.list_items(), key=name_sort_key) if is_directory else [path.name]
            for item in map(view.read, names):
                if not item.is_missing:
                    place = path / item.name if is_directory else path
                    yield ReadFile(item.name, place, item.raw or b"", _parse_result(item, rules))
                elif not is_directory:
                    raise ProblemError(_missing(path)[0])
    except SourceUnavailable as reason:
        raise ProblemError(Problem(str(reason), file=str(path), help=reason.help)) from None


STDIN = Path("-")
STDIN_NAME = "<stdin>"  # how problems name it

Owners = dict[tuple[str, str], str]  # directory and id -> the file that has it


def check_stdin(rules: ParseContext) -> CheckedFile:
    """Check a definition that comes on standard input."""
    read = read_stdin(rules)
    return CheckedFile(read.result, oddities=_oddities(read.raw, STDIN_NAME, read.result, rules))


def read_stdin(rules: ParseContext) -> ReadFile:
    """Read a definition from standard input."""
    raw = sys.stdin.buffer.read(json_text.MAX_BYTES + 1)
    return ReadFile(STDIN_NAME, Path(STDIN_NAME), raw, parse(raw, STDIN_NAME, rules))


def check_file(
    path: Path, rules: ParseContext, reader: str | None = None, owners: Owners | None = None
) -> Iterator[CheckedFile]:
    """Yield each file of a path with its result and warnings. `owners` has the ids of files that were checked before.

    With a portable context nothing is said about this host. With `reader`, write permissions are checked for that
    user's service, and faults are problems. Without it a caller who is root gets the check for root's service. For
    other callers the same rules give warnings, because their files are usually installed for root later.
    """
    is_directory = os.path.isdir(path)  # noqa: PTH112 - raises nothing
    if not is_directory and is_missing(path.parent / "."):
        yield CheckedFile(_missing(path))
        return
    source = _source(path if is_directory else path.parent, reader, is_portable=rules.is_portable)
    try:
        with source.open() as view:
            if view.trust_problem is not None and not rules.is_portable:
                found = view.trust_problem
                yield CheckedFile(
                    None, (Problem(found.message, str(source.path), help=found.help, host_dependent=True),)
                )
            owners = {} if owners is None else owners
            yield from _directory(view, path, rules, owners) if is_directory else [_file(view, path, rules, owners)]
    except SourceUnavailable as reason:
        yield CheckedFile((Problem(str(reason), file=str(path), help=reason.help),))


def _source(directory: Path, reader: str | None, *, is_portable: bool) -> DirectorySource:
    """Return the directory as the service would read it; for a portable check so that its trust does not matter."""
    uid = os.geteuid()
    if is_portable:
        return DirectorySource(directory, is_lenient=True)
    if reader is not None:
        return DirectorySource(directory, trust.TrustRules(pwd.getpwnam(reader).pw_uid))
    if uid == 0:
        return DirectorySource(directory)
    return DirectorySource(directory, trust.TrustRules(0, trusted_uids=uid), is_lenient=True)


def _directory(view: OpenDirectory, path: Path, rules: ParseContext, owners: Owners) -> Iterator[CheckedFile]:
    for name in sorted(view.list_items(), key=name_sort_key):
        item = view.read(name)
        if not item.is_missing:
            verdict = _with_own_id(item, _parse_result(item, rules), path, owners)
            yield _checked_file(item, verdict, path / name, rules)


def _with_own_id(item: ReadResult, verdict: ParseResult, directory: Path, owners: Owners) -> ParseResult:
    """Return the verdict on a file; the problem if another file of its directory has its id."""
    if not isinstance(verdict, Job):
        return verdict
    owner = owners.setdefault((os.path.realpath(directory), verdict.id), item.name)
    return verdict if owner == item.name else (id_conflict(item.raw or b"", item.name, verdict.id, owner),)


def _file(view: OpenDirectory, path: Path, rules: ParseContext, owners: Owners) -> CheckedFile:
    """Check a file of any name. One that is not named as a job file has no id that another could want."""
    item = view.read(path.name)
    if item.is_missing:
        return CheckedFile(_missing(path))
    verdict = _parse_result(item, rules)
    if is_job_file(path.name):
        return _checked_file(item, _with_own_id(item, verdict, path.parent, owners), path, rules)
    checked = _checked_file(item, verdict, path, rules)
    if not isinstance(verdict, Job):
        return checked
    odd = Problem(
        "the service ignores a file of this name",
        file=str(path),
        help="name it `*.json`, without a dot in front, where the service is to read it",
        is_lint=True,
    )
    return replace(checked, warnings=(odd, *checked.warnings))


def _missing(path: Path) -> tuple[Problem, ...]:
    help_ = None if is_job_file(path.name) else "name a job file (`*.json`) or a directory of such files"
    return (Problem(f"there is no file or directory `{path}`", file=str(path), help=help_),)


def _parse_result(item: ReadResult, rules: ParseContext) -> ParseResult:
    """Parse a read file; return its problem if it has no text."""
    if item.problem is not None and item.raw is None:
        return (item.problem,)
    return parse(item.raw or b"", item.name, rules)


def _checked_file(item: ReadResult, verdict: ParseResult, path: Path, rules: ParseContext) -> CheckedFile:
    is_judged = item.problem is not None and item.raw is not None and not rules.is_portable
    warnings = [replace(item.problem, file=str(path))] if is_judged and item.problem is not None else []
    if item.public_path is not None and item.raw is not None and not rules.is_portable:
        warnings += exposed_in_definition(item.raw, str(path))
    if not isinstance(verdict, Job):
        verdict = tuple(replace(problem, file=str(path)) for problem in verdict)
    return CheckedFile(verdict, tuple(warnings), _oddities(item.raw or b"", str(path), verdict, rules))


def _oddities(raw: bytes, name: str, verdict: ParseResult, rules: ParseContext) -> Callable[[], tuple[Problem, ...]]:
    """Return what finds the warnings about a definition, also about one that is wrong for this host alone."""
    if isinstance(verdict, Job):
        return partial(definition_warnings, raw, name, verdict, rules)
    if not raw or not all(problem.host_dependent for problem in verdict):
        return tuple
    elsewhere = replace(rules, is_portable=True)
    job = parse(raw, name, elsewhere)
    return partial(definition_warnings, raw, name, job, elsewhere) if isinstance(job, Job) else tuple
