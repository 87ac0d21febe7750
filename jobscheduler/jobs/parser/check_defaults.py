"""Check `[defaults]` of the settings file before any job has them: by the rules of job files, each key at its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from itertools import chain, islice
from typing import Any

from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.defaults import ALERTS, NO_DEFAULTS, Defaults
from jobscheduler.jobs.parser.definition import ParseContext, parse
from jobscheduler.jobs.parser.problem_list import MAX_PROBLEMS
from jobscheduler.jobs.parser.sound_fields import errors_of_sound_fields
from jobscheduler.model import Problem
from jobscheduler.util import json_text
from jobscheduler.util.text import did_you_mean, quote

_OWN = ("job_id", "schedule", "task")  # each job says these itself
_JOB = {"job_id": "defaults", "schedule": "0 0 1 1 *", "task": {"type": "execute_command", "command": "true"}}

ProblemAt = Callable[..., Problem]
"""Make a problem at a key of the settings file: `(path, message, help, **further)`, the path below `[defaults]`."""


def check_defaults(
    table: Mapping[str, Any], context: ParseContext, problem_at: ProblemAt, source: str
) -> tuple[Defaults, tuple[Problem, ...]]:
    """Return the defaults that a table says, and every problem in it.

    An alert that cannot run on this host is no such problem: it is left out, and named in `Defaults.problems`.
    """
    value = {name: _as_json(given) for name, given in table.items() if given is not None}
    fields = schema.optional_fields()
    tasks = {name: given for name, given in value.items() if name not in {*fields, *_OWN} and isinstance(given, dict)}
    job = {name: given for name, given in value.items() if name not in tasks}
    unusable = _unusable_alerts(job, context, problem_at)
    job = {name: given for name, given in job.items() if name not in unusable}
    problems = [
        *_problems_of_fields(job, context, problem_at),
        *(problem for name in tasks for problem in _problems_of_task(name, tasks[name], context, problem_at)),
    ]
    return Defaults(job, tasks, source, tuple(chain(*unusable.values()))), tuple(problems[:MAX_PROBLEMS])


def _unusable_alerts(job: Mapping[str, Any], context: ParseContext, problem_at: ProblemAt) -> dict[str, list[Problem]]:
    """Return the alerts that cannot run on this host although their fields are right, with their problems."""
    alerts = {name: [*_problems_of_fields({name: job[name]}, context, problem_at)] for name in ALERTS if name in job}
    return {name: found for name, found in alerts.items() if found and all(one.host_dependent for one in found)}


def _problems_of_fields(job: dict[str, Any], context: ParseContext, problem_at: ProblemAt) -> Iterator[Problem]:
    """Yield the problems of fields: those of a job that says just these, each at its key."""
    for name in [name for name in _OWN if name in job]:
        yield problem_at((name,), f"`{name}` cannot have a default", "each job says its own")
    fields = {name: given for name, given in job.items() if name not in _OWN}
    known = [*schema.optional_fields(), *context.task_names]
    for name in [name for name in fields if name not in schema.optional_fields()]:
        del fields[name]
        yield problem_at((name,), f"unknown field or task type {quote(name)}", did_you_mean(name, known))
    text = json.dumps(_JOB | fields, indent=1)  # each key on a line of its own
    parsed = parse(text.encode(), "", replace(context, defaults=NO_DEFAULTS))
    lines = {location.line: path for path in _paths(fields) if (location := json_text.locate(text, path, key=True))}
    for problem in parsed if isinstance(parsed, tuple) else ():
        path = lines.get(problem.line or 0, ())
        further = {"notes": problem.notes, "host_dependent": problem.host_dependent}
        yield problem_at(path, problem.message, problem.help, **further)


def _problems_of_task(
    name: str, fields: Mapping[str, Any], context: ParseContext, problem_at: ProblemAt
) -> Iterator[Problem]:
    """Yield the problems of default fields of a task type. What the fields lack is judged in each job.

    So is what depends on this host: a user who is missing must not keep the service from starting.
    """
    if name not in context.task_names:
        known = [*schema.optional_fields(), *context.task_names]
        yield problem_at((name,), f"unknown field or task type {quote(name)}", did_you_mean(name, known))
        return
    try:
        type_ = context.task_type(name)
    except LookupError:
        return  # its extra is missing: each job of this type says so
    findings = [*islice(schema.check_task(type_, dict(fields), (name,)), MAX_PROBLEMS)]
    wrong = {finding.path[1:] for finding in findings}
    errors = errors_of_sound_fields(
        type_.schema, dict(fields), wrong, lambda some: schema.fits_task(type_, some), type_.check
    )
    for finding in findings:
        if len(finding.path) > 1:
            yield problem_at(_keys(finding.path), finding.message, finding.help, notes=finding.notes)
    for error in errors:
        if not error.host_dependent:
            yield problem_at(_keys((name, *error.path)), error.message, error.help)


def _keys(path: json_text.Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _as_json(value: Any) -> Any:
    """Return a value of TOML as one of JSON: dates and times as text."""
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key in an object, outer ones first."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*above, name)
            yield from _paths(inner, (*above, name))
