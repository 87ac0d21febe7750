"""Warn of what is legal in a definition but hardly meant. Only `validate` shows these warnings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from jobscheduler.jobs.parser.definition import ParseContext
from jobscheduler.jobs.parser.locations import narrow
from jobscheduler.jobs.parser.schedule_lints import schedule_lints
from jobscheduler.model import NO_TASK, Job, Problem
from jobscheduler.timetable.timezones import zone_note
from jobscheduler.util import json_text, text_location
from jobscheduler.util.characters import describe_character, invisible_characters, suggest_replacement
from jobscheduler.util.control_groups import LIMIT_CONTROLLERS, controllers
from jobscheduler.util.instants import utc_now
from jobscheduler.util.json_walk import iter_texts
from jobscheduler.util.text import format_error

_TASK_TEXTS = ("command", "cwd")
_DASH = re.compile(r"(?:^|\s)([^\x00-\x7f])\1?[A-Za-z]")


class _Warning(NamedTuple):
    path: json_text.Path
    message: str
    help: str | None
    host_dependent: bool = False
    is_lint: bool = False
    notes: tuple[str, ...] = ()
    part: tuple[int, int] | None = None


def definition_warnings(
    raw: bytes, source_name: str, job: Job, context: ParseContext, now: datetime | None = None
) -> tuple[Problem, ...]:
    """Return the warnings about a definition that was accepted as `job`, with locations; also those of task types.

    `now` is the present by default. A portable context gets no warnings about this host.
    """
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError:  # a definition that was accepted is always JSON; a row may have changed since
        return ()
    whole = context.defaults.apply(value)
    lints = (_Warning(*lint[:3], False, True, *lint[3:]) for lint in schedule_lints(whole, job, now or utc_now()))
    found = (*_zone(value), *_characters(value), *lints, *_retry(job), *_limits(job), *_tasks(job, context))
    return tuple(
        _problem(warning, source_name, text, context.defaults.origin(value, warning.path))
        for warning in found
        if not (warning.host_dependent and context.is_portable)
    )


def _problem(warning: _Warning, source_name: str, text: str, origin: str | None) -> Problem:
    """Return a warning as a problem. `origin` names the defaults from which the value comes, if it does."""
    notes = () if origin is None else (f"`{'.'.join(map(str, warning.path))}` comes from {origin}",)
    problem = Problem(
        warning.message,
        source_name,
        notes=(*warning.notes, *notes),
        help=warning.help,
        host_dependent=warning.host_dependent,
        is_lint=warning.is_lint,
    )
    location = json_text.locate(text, warning.path)
    if location is not None and warning.part is not None:
        location = narrow(location, *warning.part)
    return text_location.located(problem, location)


def _zone(value: dict[str, Any]) -> Iterator[_Warning]:
    note = zone_note(value["timezone"]) if "timezone" in value else None
    if note:
        yield _Warning(("timezone",), note, None)


def _characters(value: dict[str, Any]) -> Iterator[_Warning]:
    """Warn of characters that look like blanks but are not to a shell, and of dashes that do not begin an option."""
    for task in ("task", "on_failure", "on_recovery"):
        for name in _TASK_TEXTS:
            for path, text in iter_texts((value.get(task) or {}).get(name), (task, name)):
                yield from (
                    _Warning(
                        path,
                        f"{describe_character(character)}, is not a blank to a shell",
                        suggest_replacement(character),
                    )
                    for character in invisible_characters(text)
                )
                dash = _DASH.search(text)
                if dash and unicodedata.category(dash[1]) == "Pd":
                    message = f"{describe_character(dash[1])}, does not begin an option"
                    yield _Warning(path, message, suggest_replacement(dash[1]))


def _limits(job: Job, available: Callable[[], frozenset[str]] = controllers) -> Iterator[_Warning]:
    """Warn of limits that do not hold, because the kernel of this host has no controller for them.

    Whether the service may use the controllers that there are is known to the service alone.
    """
    wanted = () if job.limits is None else [name for name in LIMIT_CONTROLLERS if getattr(job.limits, name) is not None]
    for name in wanted:
        controller = LIMIT_CONTROLLERS[name]
        if controller not in available():
            message = (
                f"this limit does not hold here: this host has no controller `{controller}` in control groups of "
                "version 2, so a run goes on without it"
            )
            help_ = "boot with `systemd.unified_cgroup_hierarchy=1`, or drop it"
            yield _Warning(("limits", name), message, help_, host_dependent=True)


def _retry(job: Job) -> Iterator[_Warning]:
    """Warn of a `max_delay` that shortens the first delay."""
    retry = job.retry
    if retry is not None and retry.delay > retry.max_delay:
        message = f"no delay is longer than `max_delay`, which is {retry.max_delay:g} s"
        help_ = f"give a `max_delay` of {retry.delay:g} or more, or a shorter `delay`"
        yield _Warning(("retry", "delay"), message, help_)


def _tasks(job: Job, context: ParseContext) -> Iterator[_Warning]:
    """Yield the warnings of each task type, and one about a type that raises although it accepted the fields."""
    for name in ("task", "on_failure", "on_recovery"):
        spec = getattr(job, name)
        if spec is None or spec == NO_TASK:
            continue
        try:
            findings = list(context.task_type(spec.type).warnings(spec.params))
        except Exception as error:  # of another package, or ours
            message = f"the task type cannot say what it warns of: {format_error(error)}"
            help_ = "this is a fault of the scheduler or of the task type; please report it"
            yield _Warning((name, "type"), message, help_)
            continue
        for finding in findings:
            path = (name, *finding.path)
            yield _Warning(path, finding.message, finding.help, finding.host_dependent, finding.is_lint)
