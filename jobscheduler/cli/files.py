"""Job files as verbs read them that need no service: paths of files and directories to definitions or problems."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jobscheduler import tasks
from jobscheduler.config import Settings
from jobscheduler.model import Job, Problem, in_order
from jobscheduler.parse import Rules, conflict, parse
from jobscheduler.sources import Read, SourceUnavailable, View
from jobscheduler.sources.directory import DirectorySource, is_job_file
from jobscheduler.zone import service_zone

Verdict = Job | tuple[Problem, ...]


def rules_of(settings: Settings) -> Rules:
    """Return what definitions are held against: the same as in the service, with the zone that it would have.

    Raises:
        ZoneUnknown: that zone cannot be told.

    """
    return Rules(service_zone(settings.timezone, os.environ), tasks.task_type, tasks.task_names())


def path_named(text: str) -> Path:
    """Read a path of the command line; an empty one, of a shell variable that was not set, means nothing.

    Raises:
        argparse.ArgumentTypeError: it is empty.

    """
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; name a job file (`*.json`) or a directory of such files")
    return Path(text)


def definitions(path: Path, rules: Rules) -> Iterator[Verdict]:
    """Yield a Job or the problems of each file that a path means; problems carry the path as the user would write it.

    In a directory an id belongs to the file whose name sorts first, as at a start of the service.
    """
    if not path.parent.is_dir():
        yield _missing(path)
        return
    try:
        with DirectorySource(path if path.is_dir() else path.parent).look() as view:
            yield from _directory(view, path, rules) if path.is_dir() else [_file(view, path, rules)]
    except SourceUnavailable as reason:
        yield (Problem(str(reason), file=str(path), help=reason.help),)


def _directory(view: View, path: Path, rules: Rules) -> Iterator[Verdict]:
    owners: dict[str, str] = {}
    for name in sorted(view.listing(), key=in_order):
        found = view.read(name)
        if found.gone:
            continue
        verdict = _verdict(found, rules)
        if isinstance(verdict, Job):
            owner = owners.setdefault(verdict.id, name)
            verdict = verdict if owner == name else (conflict(found.raw or b"", name, verdict.id, owner),)
        yield _located(verdict, path / name)


def _file(view: View, path: Path, rules: Rules) -> Verdict:
    found = view.read(path.name)
    if found.gone:
        return _missing(path)
    verdict = _verdict(found, rules)
    if isinstance(verdict, Job) and not is_job_file(path.name):
        help_ = "name it `*.json`, without a dot in front"
        return (Problem("the service ignores a file of this name", file=str(path), help=help_),)
    return _located(verdict, path)


def _missing(path: Path) -> tuple[Problem, ...]:
    help_ = None if is_job_file(path.name) else "name a job file (`*.json`) or a directory of such files"
    return (Problem(f"there is no file or directory `{path}`", file=str(path), help=help_),)


def _verdict(found: Read, rules: Rules) -> Verdict:
    return (found.problem,) if found.problem else parse(found.raw or b"", found.name, rules)


def _located(verdict: Verdict, path: Path) -> Verdict:
    return verdict if isinstance(verdict, Job) else tuple(replace(problem, file=str(path)) for problem in verdict)
