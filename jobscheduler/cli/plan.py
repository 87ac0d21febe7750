"""`plan`: show what putting files in force would change. Nothing is changed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from jobscheduler.cli.job_files import STDIN, STDIN_NAME, ReadFile, path_argument, read_path, read_stdin
from jobscheduler.cli.log_files import host_zone
from jobscheduler.cli.options import add_options, portable_settings, settings_of_service
from jobscheduler.cli.plan_changes import (
    CHANGED,
    NEW,
    REMOVED,
    JobChange,
    Refusal,
    change_json,
    change_line,
    job_changes,
    refusal_json,
)
from jobscheduler.cli.plan_in_force import InForce, in_force_now
from jobscheduler.cli.plan_notes import Note, jobs_then, notes_on_collisions, notes_on_durations, notes_on_jobs
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.validate import is_user_of_service
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import Settings
from jobscheduler.config.job_context import job_context
from jobscheduler.control.definitions import masked
from jobscheduler.jobs.catalog import ItemState
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext, id_conflict
from jobscheduler.jobs.preview import Preview, preview
from jobscheduler.model import Job, Problem
from jobscheduler.util.instants import utc_now

EXAMPLES = """examples:
  jobscheduler plan ./jobs.d
  jobscheduler plan --keep report.json cleanup.json
  jobscheduler plan --json ./jobs.d
  jq '.timeout = "1h"' report.json | jobscheduler plan -
  jobscheduler plan --portable --jobs-dir ../main/jobs.d ./jobs.d

A directory stands for the jobs directory: what it does not have would be removed, unless `--keep` says otherwise. Files
stand for themselves, and `-` for an edit of the file that has its job now, or for a new `ID.json`. The service says
what is in force; without one that is the jobs directory. Nothing is changed. Notes tell where many jobs would start at
once, where runs usually take longer than a new time limit, and what is odd. `--portable` compares two directories on a
host that runs none of their jobs.
Exit status: 0 fine, 1 something would be refused, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, the format and the options."""
    which = "a directory that stands for the jobs directory, files that are to be put there, or `-` for such a file"
    parser.add_argument("paths", nargs="+", type=path_argument, metavar="PATH", help=which)
    parser.add_argument("--keep", action="store_true", help="jobs whose files a directory does not have stay")
    where = "ask no service, compare with `--jobs-dir`, and leave out what depends on this host"
    parser.add_argument("--portable", action="store_true", help=where)
    parser.add_argument("--json", action="store_true", help="print one JSON object for each change and each note")
    add_options(parser, {"jobs_dir", "log_file", "timezone", "max_workers", "socket"})


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    settings = _settings(arguments)
    rules, now = replace(job_context(settings), is_portable=arguments.portable), utc_now()
    planned = list(_files(arguments, settings, rules))
    stands_for_all = arguments.paths[0].is_dir() and not arguments.keep
    in_force = in_force_now(settings, rules, now, () if stands_for_all else planned)
    files = {read.name: read for read in (_named(read, rules, in_force) for read in planned)}
    results: dict[str, Job | tuple[Problem, ...] | None] = {
        name: masked(read.result, in_force.key) if isinstance(read.result, Job) else read.result
        for name, read in files.items()
    }
    if stands_for_all:
        results |= {item.name: None for item in in_force.items if "/" not in item.name and item.name not in files}
    found = preview(in_force.items, results, now)
    changes = list(job_changes(found, in_force.next_slots, now))
    refusals = list(_refusals(found, files))
    notes = [
        *notes_on_collisions(*jobs_then(found, in_force, settings, now), now, settings.max_workers),
        *(() if arguments.portable else notes_on_durations(changes, settings)),
        *notes_on_jobs(changes, files, rules, now),
    ]
    _print_json(changes, refusals, notes) if arguments.json else _print(changes, refusals, notes, now)
    return 1 if refusals else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the service; for a portable plan those of the command line alone, and UTC."""
    if not arguments.portable:
        return settings_of_service(arguments, {"timezone", "jobs_dir"})
    if arguments.jobs_dir is None:
        help_ = "name the directory that has the job files as they are now, such as a checkout of the main branch"
        raise ArgumentProblem(Problem("`--portable` needs `--jobs-dir`", help=help_))
    return portable_settings(arguments)


# --- the planned files --------------------------------------------------------------------------------------


def _files(arguments: argparse.Namespace, settings: Settings, rules: ParseContext) -> Iterator[ReadFile]:
    """Read the files that would be put in force.

    Raises:
        ArgumentProblem: a path is not there, or they are a directory and something else.

    """
    paths: list[Path] = arguments.paths
    if len(paths) > 1 and any(path.is_dir() for path in paths):
        raise ArgumentProblem(Problem("a directory is planned alone", help="name one directory, or files"))
    is_of_service = is_user_of_service(arguments, settings)
    for path in paths:
        if path == STDIN:
            yield read_stdin(rules)
            continue
        is_in_force = os.path.realpath(path) == os.path.realpath(settings.jobs_dir)
        for read in read_path(path, rules, is_trusted=not is_in_force):
            if not is_job_file(read.name):
                help_ = "name it `*.json`, without a dot in front"
                raise ArgumentProblem(Problem(f"the service ignores a file of the name `{read.name}`", help=help_))
            yield read if is_of_service else _elsewhere(read, rules)


def _named(read: ReadFile, rules: ParseContext, in_force: InForce) -> ReadFile:
    """Return the definition on standard input as an edit of the file that has its id now, else as `ID.json`."""
    if read.name != STDIN_NAME or not isinstance(read.result, Job):
        return read
    job_id = read.result.id
    owners = (item.name for item in in_force.items if item.job is not None and item.is_active and item.job.id == job_id)
    return replace(read, name=next(owners, f"{job_id}.json")).parsed(rules)


def _elsewhere(read: ReadFile, rules: ParseContext) -> ReadFile:
    """Return a file as the service may read it: what is wrong only for this user and host is no refusal."""
    if isinstance(read.result, Job) or not all(problem.host_dependent for problem in read.result) or not read.raw:
        return read
    return read.parsed(replace(rules, is_portable=True))


def _refusals(found: Preview, files: Mapping[str, ReadFile]) -> Iterator[Refusal]:
    for name, status in sorted(found.refused.items()):
        read = files.get(name)
        problems = status.problems
        if status.incumbent is not None and read is not None and isinstance(read.result, Job):
            problems = (id_conflict(read.raw, name, read.result.id, status.incumbent),)
        elif status.incumbent is not None:
            problems = (Problem(f"its id belongs to `{status.incumbent}`"),)
        path = name if read is None else str(read.path)
        yield Refusal(name, status, tuple(replace(problem, file=path) for problem in problems))


# --- printing ----------------------------------------------------------------------------------------------


def _print(changes: list[JobChange], refusals: list[Refusal], notes: list[Note], now: datetime) -> None:
    width = max((len(change.job_id) for change in changes), default=0)
    for change in changes:
        print(change_line(change, width, now))
    for refusal in refusals:
        print(f"! refused  {refusal.file}{_what_stays(refusal)}")
    for job_id, note in notes:
        print_wrapped(f"note: {job_id}: {note}" if job_id else f"note: {note}")
    for refusal in refusals:
        for problem in refusal.problems:
            print()
            print_problem(problem, sys.stdout)
    print(("\n" if changes or refusals or notes else "") + _summary(changes, refusals))


def _what_stays(refusal: Refusal) -> str:
    return "  its former version stays in force" if refusal.status.state is ItemState.STALE else ""


def _summary(changes: list[JobChange], refusals: list[Refusal]) -> str:
    kinds = [change.kind for change in changes]
    counts = [f"{kinds.count(kind)} {kind}" for kind in (NEW, CHANGED, REMOVED) if kind in kinds]
    counts += [f"{len(refusals)} refused"] if refusals else []
    zone = f" (times of {host_zone().key})" if kinds else ""
    return f"{', '.join(counts)}; nothing was done{zone}" if counts else "nothing would change"


def _print_json(changes: Iterable[JobChange], refusals: Iterable[Refusal], notes: Iterable[Note]) -> None:
    for change in changes:
        print(json.dumps(change_json(change)))
    for refusal in refusals:
        print(json.dumps(refusal_json(refusal)))
    for job_id, note in notes:
        print(json.dumps({"change": "note", "job_id": job_id, "note": note}))
