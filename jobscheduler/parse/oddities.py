"""What is legal in a definition and hardly meant: told as a warning, and never a reason to refuse it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jobscheduler import jsontext
from jobscheduler.model import NO_TASK, Job, Problem
from jobscheduler.parse.definition import Rules


def oddities(job: Job, raw: bytes, origin: str, rules: Rules) -> Iterator[Problem]:
    """Yield what the task types find odd about a definition, at its place in `raw`. `origin` is what problems name."""
    for name in ("task", "on_failure", "on_recovery"):
        spec = getattr(job, name)
        if spec is None or spec == NO_TASK:
            continue
        try:
            found = list(rules.task_type(spec.type).odd(spec.fields))
        except Exception:  # noqa: S112 - a type of another package, which was content with the fields
            continue
        for complaint in found:
            problem = Problem(complaint.message, file=origin, help=complaint.help)
            yield _placed(problem, raw, (name, *complaint.path))


def _placed(problem: Problem, raw: bytes, path: jsontext.Path) -> Problem:
    try:
        place = jsontext.place_of(jsontext.decode(raw)[1], path)
    except jsontext.Malformed:
        place = None
    if place is None:
        return problem
    at = replace(problem, line=place.line, column=place.column, excerpt=place.excerpt)
    return replace(at, caret=place.caret, width=place.width)
