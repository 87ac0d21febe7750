"""The names that shells complete: ids of jobs with their descriptions, tags, ids of runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jobscheduler.model import Job
from jobscheduler.runner import Run

MAX_DESCRIPTION_CHARS = 80  # of a description beside an id


def names_answer(jobs: Mapping[str, Job], runs: Iterable[Run], begin: str) -> Mapping[str, Any]:
    """Return the jobs whose ids begin so, all tags, and the runs, each with its job."""
    return {
        "jobs": {job_id: _short(jobs[job_id].description) for job_id in sorted(jobs) if job_id.startswith(begin)},
        "tags": sorted({tag for job in jobs.values() for tag in job.tags}),
        "runs": {run.run_id: run.job.id for run in runs},
    }


def _short(description: str) -> str:
    """Return a description in one line that is not too long for a list."""
    line = " ".join(description[: 4 * MAX_DESCRIPTION_CHARS].split())
    return line if len(line) <= MAX_DESCRIPTION_CHARS else line[: MAX_DESCRIPTION_CHARS - 1].rstrip() + "…"
