"""Changes of the table of jobs: validated definitions, and the difference between two sets of them (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobscheduler.database.command_job import CommandJob
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.model import Job as Definition
from jobscheduler.model import Problem
from jobscheduler.util import json_text

JobInput = CommandJob | Mapping[str, Any] | str  # or the object of a job file, or its text


class JobTableError(ValueError):
    """A change that cannot be made; `problems` say why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


class InvalidJob(JobTableError):
    """A definition that is not valid."""


class JobExists(JobTableError):
    """There is already a job of this id."""


class JobNotFound(JobTableError):
    """There is no job of this id."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Which ids are new, changed and removed; `marker` is the id of the request, None if nothing changed."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    marker: int | None = None

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)


def diff(present: Mapping[str, str], wanted: Mapping[str, str]) -> Changes:
    """Compare definitions by their text."""
    return Changes(
        added=tuple(sorted(wanted.keys() - present.keys())),
        updated=tuple(job_id for job_id in sorted(wanted.keys() & present.keys()) if wanted[job_id] != present[job_id]),
        removed=tuple(sorted(present.keys() - wanted.keys())),
    )


def validate_all(jobs: Iterable[JobInput], rules: ParseContext) -> dict[str, str]:
    """Return the texts of definitions by their ids.

    Raises:
        InvalidJob: a definition is not valid, or two have the same id.

    """
    texts: dict[str, str] = {}
    for job in jobs:
        job_id, text = validate(_text_of(job).encode("utf-8", "surrogatepass"), "", rules)
        if job_id in texts:
            raise InvalidJob(Problem(f"two of the jobs have the id `{job_id}`"))
        texts[job_id] = text
    return texts


def validate(raw: bytes, origin: str, rules: ParseContext) -> tuple[str, str]:
    """Return the id and the text of a definition. Problems of this host alone (`Problem.host_dependent`) do not count.

    Raises:
        InvalidJob: the definition is not valid.

    """
    result = parse(raw, origin, rules)
    if isinstance(result, Definition):
        return result.id, raw.decode("utf-8-sig")
    problems = tuple(problem for problem in result if not problem.host_dependent)
    if problems:
        raise InvalidJob(*problems)
    value, text = json_text.decode(raw)
    return value["job_id"], text


def _text_of(job: JobInput) -> str:
    if isinstance(job, str):
        return job
    if isinstance(job, CommandJob):
        return job.text
    try:
        return json.dumps(job, ensure_ascii=False, default=dict)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(Problem(f"the definition cannot be written as JSON: {error}")) from None
