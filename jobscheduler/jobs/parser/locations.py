"""Show where in the text of a definition a problem is."""

from __future__ import annotations

from dataclasses import replace

from jobscheduler.model import Problem
from jobscheduler.util import json_text, text_location


def located_at(problem: Problem, text: str, path: json_text.Path) -> Problem:
    """Return a problem with the location of the value at `path`, in a text that was accepted as JSON."""
    return text_location.located(problem, json_text.locate(text, path))


def narrow(text: text_location.Location, start: int, end: int) -> text_location.Location:
    """Return the location of a part of a text; of the whole text where an escape in it moves the characters."""
    width = min(end, text.width - 2) - start
    if "\\" in text.excerpt or width <= 0:
        return text
    shift = 1 + start  # after the opening quote
    return replace(text, column=text.column + shift, caret=text.caret + shift, width=width)


def id_conflict(raw: bytes, source_name: str, job_id: str, incumbent: str) -> Problem:
    """Return the problem that another item already has this id, at the location of the id in the definition."""
    problem = Problem(
        f"the id `{job_id}` already belongs to `{incumbent}`",
        file=source_name,
        help=f"give one of the two another `job_id`, or delete `{source_name}`",
    )
    try:
        return text_location.located(problem, json_text.locate(json_text.decode(raw)[1], ("job_id",)))
    except json_text.JsonError:
        return problem
