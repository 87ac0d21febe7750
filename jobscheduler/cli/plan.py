"""`plan`: show what putting files in force would change. Nothing is changed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jobscheduler.cli.history_stats import percentile
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
    next_slot,
    refusal_json,
)
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.service_jobs import jobs_of_service
from jobscheduler.cli.validate import is_user_of_service
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import Settings
from jobscheduler.config.job_context import job_context
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.control.definitions import items_of_answer, masked
from jobscheduler.jobs.catalog import ItemState
from jobscheduler.jobs.collisions import HORIZON, collisions
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict
from jobscheduler.jobs.preview import ItemInForce, Preview, preview
from jobscheduler.model import SLOT_FIELDS, Job, Problem, name_sort_key
from jobscheduler.runlog.bounded_query import ReadLimit, newest_records
from jobscheduler.runlog.filter import LogFilter
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_local_short, utc_now
from jobscheduler.util.standard_output import is_standard_output
from jobscheduler.util.text import plural

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

_MAX_NAMED = 20  # files for which the service is asked alone
_MAX_COLLISIONS = 3  # that are shown
_RUNS = 20  # whose durations are compared with a new time limit
_MAX_LOOKED_UP = 50  # jobs whose runs are looked up
_MAX_LOG_BYTES = 16 * 1024 * 1024  # that are read of the log for each of them


@dataclass(frozen=True, slots=True)
class _InForce:
    """What is in force, the next slots of its jobs, and the key by which it shows tasks.

    `is_part` says that these are only the items that the planned files may change.
    """

    items: list[ItemInForce]
    next_slots: Mapping[str, datetime | None]
    key: str = ""
    is_part: bool = False


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
    in_force = _in_force(settings, rules, now, () if stands_for_all else planned)
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
        *_notes_on_collisions(*_jobs_then(found, in_force, settings, now), now, settings.max_workers),
        *(() if arguments.portable else _notes_on_durations(changes, settings)),
        *_notes_on_jobs(changes, files, rules, now),
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


# --- what is in force, and what would be --------------------------------------------------------------------


def _in_force(settings: Settings, rules: ParseContext, now: datetime, planned: Sequence[ReadFile]) -> _InForce:
    """Return what the service has in force; without a service, and for a portable plan, what the jobs directory says.

    The service is asked for what a few planned files may change, and for everything if they are many, or none is given.
    """
    if rules.is_portable:
        return _of_directory(settings.jobs_dir, rules, now)
    is_part = 0 < len(planned) <= _MAX_NAMED
    try:
        answer = request(settings.socket, "GET", f"/v1/definitions?{_query(planned) if is_part else ''}")
        return _InForce(items_of_answer(answer), dict(_next_slots(answer)), answer["key"], is_part)
    except ServiceUnreachable:
        note = f"note: no service was asked; compared with the jobs directory `{settings.jobs_dir}`"
        print_wrapped(note, sys.stderr)
    except (ApiError, ValueError) as error:
        message = "the running service cannot say what is in force: is it of another version?"
        raise ArgumentProblem(Problem(message, notes=(str(error),), help="ask with its own version")) from None
    return _of_directory(settings.jobs_dir, rules, now)


def _of_directory(directory: Path, rules: ParseContext, now: datetime) -> _InForce:
    """Return what a service would have in force that had just read a directory."""
    items, owners = [], dict[str, str]()
    found = read_path(directory, rules, is_trusted=rules.is_portable)
    for read in sorted(found, key=lambda read: name_sort_key(read.name)):
        job = masked(read.result, "") if isinstance(read.result, Job) else None
        is_active = job is not None and owners.setdefault(job.id, read.name) == read.name
        items.append(ItemInForce(read.name, job, is_active, is_bad=job is None))
    jobs = [item.job for item in items if item.job is not None and item.is_active]
    return _InForce(items, {job.id: next_slot(job, now) for job in jobs})


def _query(planned: Iterable[ReadFile]) -> str:
    jobs = [("job", read.result.id) for read in planned if isinstance(read.result, Job)]
    return urlencode([*(("file", read.name) for read in planned), *jobs])


def _next_slots(answer: Mapping[str, Any]) -> Iterator[tuple[str, datetime | None]]:
    for item in answer["items"]:
        if item["active"]:
            yield item["definition"]["job_id"], None if item["next"] is None else datetime.fromisoformat(item["next"])


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


def _named(read: ReadFile, rules: ParseContext, in_force: _InForce) -> ReadFile:
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


# --- notes -------------------------------------------------------------------------------------------------

_Note = tuple[str | None, str]  # a job, if it is about one, and the note
_Jobs = Mapping[str, Job]


def _jobs_then(found: Preview, in_force: _InForce, settings: Settings, now: datetime) -> tuple[_Jobs, _Jobs]:
    """Return the jobs now and then; none if no job would get other starts.

    Raises:
        ServiceUnreachable: the service has ended in between.

    """
    if not in_force.is_part:
        return found.before, found.after
    if all(job.id in found.before and _starts_alike(job, found.before[job.id]) for job in found.plan.put):
        return {}, {}
    others = {known.job.id: known.job for known in jobs_of_service(settings, due_by=now + HORIZON)}
    for job_id in found.before:
        others.pop(job_id, None)
    return {**others, **found.before}, {**others, **found.after}


def _starts_alike(one: Job, other: Job) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("schedule", "enabled", "jitter", *SLOT_FIELDS))


def _notes_on_collisions(before: _Jobs, after: _Jobs, now: datetime, workers: int) -> Iterator[_Note]:
    worst = collisions(before, after, now, workers)
    for one in worst[:_MAX_COLLISIONS]:
        at = format_local_short(one.at, now)
        yield None, f"{one.after} jobs would start at {at} ({one.before} now); {plural(workers, 'worker')}"
    if len(worst) > _MAX_COLLISIONS:
        yield None, f"and so at {plural(len(worst) - _MAX_COLLISIONS, 'other instant')} of the next 24 hours"


def _notes_on_durations(changes: Iterable[JobChange], settings: Settings) -> Iterator[_Note]:
    """Yield jobs of which runs in the log took longer than their new time limit."""
    shortened = [(change.job_id, limit) for change in changes if (limit := change.shorter_timeout) is not None]
    for job_id, limit in [] if is_standard_output(settings.log_file) else shortened[:_MAX_LOOKED_UP]:
        taken = _durations(job_id, settings)
        longer = sum(duration > limit for duration in taken)
        if longer:
            allowed, p95 = format_compact_duration(limit), format_compact_duration(percentile(taken, 95) or 0.0)
            yield (
                job_id,
                f"{longer} of its last {len(taken)} runs took longer than the new time limit of {allowed} (p95 {p95})",
            )


def _durations(job_id: str, settings: Settings) -> list[float]:
    """Return how long the last runs of a job took, in seconds and in order; none if the log cannot be read."""
    wanted = LogFilter(job_id, frozenset({"SUCCESS", "FAILURE"}))
    try:
        found = newest_records(settings.log_file, settings.log_backups, wanted, _RUNS, ReadLimit(_MAX_LOG_BYTES))
    except OSError:  # the plan is then without expected ends
        return []
    return sorted(float(line.pairs["duration"]) for line in found.lines if "duration" in line.pairs)


def _notes_on_jobs(
    changes: Iterable[JobChange], files: Mapping[str, ReadFile], rules: ParseContext, now: datetime
) -> Iterator[_Note]:
    """Yield what is odd about new and changed jobs."""
    for change in changes:
        read = files.get(change.file)
        if change.kind in {NEW, CHANGED} and read is not None and isinstance(read.result, Job):
            for warning in definition_warnings(read.raw, str(read.path), read.result, rules, now):
                yield change.job_id, warning.message


# --- printing ----------------------------------------------------------------------------------------------


def _print(changes: list[JobChange], refusals: list[Refusal], notes: list[_Note], now: datetime) -> None:
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


def _print_json(changes: Iterable[JobChange], refusals: Iterable[Refusal], notes: Iterable[_Note]) -> None:
    for change in changes:
        print(json.dumps(change_json(change)))
    for refusal in refusals:
        print(json.dumps(refusal_json(refusal)))
    for job_id, note in notes:
        print(json.dumps({"change": "note", "job_id": job_id, "note": note}))
