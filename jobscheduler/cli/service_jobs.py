"""Get jobs for verbs that compute slots: from the running service, or from job files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jobscheduler.cli.job_files import ParseResult, parse_path
from jobscheduler.cli.problems import ArgumentProblem
from jobscheduler.config import Settings
from jobscheduler.control.client import request
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import NO_TASK, Cron, Job, Once, Problem
from jobscheduler.model.selection import selectors
from jobscheduler.util.instants import format_instant


class NoSuchJob(ArgumentProblem):
    """A text selects no job: the arguments are well-formed, so it is no wrong usage."""

    exit_status = 1


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job whose slots can be computed, its usual duration in seconds, and the pauses in force, by their ends.

    An end that is None is not known: the job is paused until it is resumed.
    """

    job: Job
    usual: float | None = None
    pause_ends: tuple[datetime | None, ...] = ()


def jobs_of_service(settings: Settings, texts: Iterable[str] = (), due_by: datetime | None = None) -> list[KnownJob]:
    """Return the jobs in force that these ids, patterns and tags select; all without any.

    With `due_by` the service leaves out those whose next slot is later.

    Raises:
        ServiceUnreachable: no service answers.
        NoSuchJob: a text selects no job.

    """
    bound = [] if due_by is None else [("due_by", format_instant(due_by))]
    query = urlencode([("view", "timetable"), *bound, *(("job", text) for text in texts)])
    answer = request(settings.socket, "GET", f"/v1/jobs?{query}")
    for problem in answer["unmatched"]:
        raise NoSuchJob(Problem(problem["message"], help=problem["help"]))
    return [_known(job) for job in answer["jobs"]]


def jobs_of_files(texts: Iterable[str], directory: Path, rules: ParseContext) -> Iterator[ParseResult]:
    """Yield the jobs of a directory that these ids, patterns and tags select, and the problems of files without a job.

    Raises:
        NoSuchJob: a text selects no job.

    """
    wanted = dict.fromkeys(selectors(texts), False)
    for verdict in parse_path(directory, rules):
        if not isinstance(verdict, Job):
            continue
        found = [selector for selector in wanted if selector.matches(verdict.id, verdict.tags)]
        wanted |= dict.fromkeys(found, True)
        if found:
            yield verdict
    for selector, is_found in wanted.items():
        if not is_found:
            raise NoSuchJob(Problem(f"no file in `{directory}` defines a job `{selector.text}`"))


def is_path(text: str) -> bool:
    """Return whether a word means a file or directory and not a job."""
    return "/" in text or is_job_file(text) or os.path.lexists(text)


def _known(fields: Mapping[str, Any]) -> KnownJob:
    schedule: Cron | Once
    if "timezone" in fields:
        schedule = Cron(fields["schedule"], fields["timezone"])
    else:
        schedule = Once(datetime.fromisoformat(fields["at"]), fields["schedule"])
    job = Job(
        fields["job_id"],
        schedule,
        NO_TASK,  # no slot depends on the real one
        enabled=fields.get("enabled", True),
        jitter=fields.get("jitter", 0.0),
        not_before=_instant(fields.get("not_before")),
        not_after=_instant(fields.get("not_after")),
    )
    return KnownJob(job, fields.get("usual"), tuple(map(_instant, fields.get("paused_until", ()))))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
