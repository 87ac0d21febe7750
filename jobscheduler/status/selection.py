"""Find the jobs that a request names, and say what was probably meant where it names none. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from jobscheduler.model import Problem
from jobscheduler.model.selection import TAG_PREFIX, Selector, selectors
from jobscheduler.util.text import did_you_mean, quote

ALL_JOBS_HELP = "`jobscheduler list` shows all jobs"
MAX_LISTED_TAGS = 10  # known tags that a help names


@dataclass(frozen=True, slots=True)
class SelectedJobs:
    """The ids of the selected jobs, each once, and the selectors that select none.

    The ids come in the order of the selectors, those of one selector sorted.
    """

    ids: tuple[str, ...]
    unmatched: tuple[Selector, ...] = ()


def select_jobs(texts: Iterable[str], jobs: Mapping[str, Collection[str]]) -> SelectedJobs:
    """Return the jobs that these texts select. `jobs` has the tags of each known job, by id."""
    ids: dict[str, None] = {}
    unmatched = []
    for selector in selectors(texts):
        found = _ids_of(selector, jobs)
        ids.update(dict.fromkeys(found))
        if not found:
            unmatched.append(selector)
    return SelectedJobs(tuple(ids), tuple(unmatched))


def _ids_of(selector: Selector, jobs: Mapping[str, Collection[str]]) -> list[str]:
    job_id = selector.job_id
    if job_id is not None:
        return [job_id] if job_id in jobs else []
    return sorted(job_id for job_id, tags in jobs.items() if selector.matches(job_id, tags))


def no_job_problem(selector: Selector, jobs: Mapping[str, Collection[str]]) -> Problem:
    """Return the problem that a selector selects no job, with the likely one as help."""
    if selector.tag is not None:
        return _no_tag_problem(selector.tag, {tag for tags in jobs.values() for tag in tags})
    if selector.job_id is None:
        return Problem(f"no job matches {quote(selector.text)}", help=ALL_JOBS_HELP)
    return Problem(f"there is no job {quote(selector.text)}", help=_likely(selector.text, jobs))


def _likely(text: str, jobs: Mapping[str, Collection[str]]) -> str:
    """Return the help for an unknown id: a like one, the tag of that name, or how to see all jobs."""
    if any(text in tags for tags in jobs.values()):
        return f"did you mean the tag, `{TAG_PREFIX}{text}`?"
    return did_you_mean(text, jobs) or ALL_JOBS_HELP


def _no_tag_problem(tag: str, known: Collection[str]) -> Problem:
    message = f"no job has the tag {quote(tag)}"
    if not known:
        return Problem(message, help="no job has any; `tags` in a job file gives it some")
    listed = ", ".join(f"`{one}`" for one in sorted(known)[:MAX_LISTED_TAGS])
    more = " and others" if len(known) > MAX_LISTED_TAGS else ""
    near = did_you_mean(tag, known)
    return Problem(message, help=near.replace("`", f"`{TAG_PREFIX}", 1) if near else f"there are {listed}{more}")
