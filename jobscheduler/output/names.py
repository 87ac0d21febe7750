"""The names below the output directory: a folder for each day, and in it files of jobs.

`2026-11-30/backup.txt` has the small outputs of the runs of `backup` that began on that day (UTC), one after the other;
`backup+2.txt` goes on when that is large. `2026-11-30/backup@5f3c2a9d0b1e.1.txt` is the output of one attempt.
Neither `+` nor `@` can be part of a job's id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

TEMPORARY = ".new"  # the file that a writer makes before it gives it its name

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RUN = re.compile(r"[0-9a-z]{1,64}")
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})(?:\+(\d{1,9})|@([0-9a-z]{1,64})\.(\d{1,9}))?\.txt", re.ASCII)


@dataclass(frozen=True, slots=True)
class OutputName:
    """What the name of a file says: the job, and the run and the attempt, or the number of a file of several runs."""

    job_id: str
    run_id: str | None
    number: int


def day_of(at: datetime) -> str:
    """Return the folder of the runs that began on the day of an instant."""
    at = at.astimezone(UTC)
    return f"{at.year:04}-{at.month:02}-{at.day:02}"


def parse_day(name: str) -> date | None:
    """Return the day of a folder, None if it is not one of ours."""
    if not _DAY.fullmatch(name):
        return None
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def run_file(job_id: str, run_id: str, attempt: int) -> str:
    """Return the name of the file with the output of one attempt. Raises: `ValueError` for ids that are not safe."""
    if not is_run_id(run_id):
        raise ValueError(f"not the id of a run: {run_id!r}")
    return f"{_checked(job_id)}@{run_id}.{attempt:d}.txt"


def day_file(job_id: str, number: int = 1) -> str:
    """Return the name of a file with small outputs of a job. Raises: `ValueError` for an id that is not safe."""
    return f"{_checked(job_id)}{f'+{number:d}' if number > 1 else ''}.txt"


def parse_name(name: str) -> OutputName | None:
    """Return what a name says, None if it is not one of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    job_id, number, run_id, attempt = match.groups()
    return OutputName(job_id, run_id, int(attempt or number or 1))


def is_run_id(text: str) -> bool:
    """Return whether a text may be the id of a run."""
    return _RUN.fullmatch(text) is not None


def is_job_id(text: str) -> bool:
    """Return whether a text may be the id of a job."""
    return _JOB.fullmatch(text) is not None


def _checked(job_id: str) -> str:
    if not is_job_id(job_id):
        raise ValueError(f"not the id of a job: {job_id!r}")
    return job_id
