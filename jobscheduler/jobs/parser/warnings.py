"""Warn of what is legal in a definition but hardly meant. Only `validate` shows these warnings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from jobscheduler.jobs.parser.definition import ParseContext
from jobscheduler.jobs.parser.locations import located_at
from jobscheduler.model import NO_TASK, Job, Problem
from jobscheduler.timetable.timezones import zone_note
from jobscheduler.util import json_text
from jobscheduler.util.characters import describe_character, invisible_characters, suggest_replacement

_TASK_TEXTS = ("command", "cwd")
_DASH = re.compile(r"(?:^|\s)([^\x00-\x7f])\1?[A-Za-z]")

_Warning = tuple[json_text.Path, str, str | None]


def definition_warnings(raw: bytes, source_name: str, job: Job, context: ParseContext) -> tuple[Problem, ...]:
    """Return the warnings about a definition that was accepted as `job`, with locations; also those of task types."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError:
        return ()
    return tuple(
        located_at(Problem(message, file=source_name, help=help_), text, path)
        for path, message, help_ in (*_zone(value), *_characters(value), *_retry(job), *_tasks(job, context))
    )


def _zone(value: dict[str, Any]) -> Iterator[_Warning]:
    note = zone_note(value["timezone"]) if "timezone" in value else None
    if note:
        yield ("timezone",), note, None


def _characters(value: dict[str, Any]) -> Iterator[_Warning]:
    """Warn of characters that look like blanks but are not to a shell, and of dashes that do not begin an option."""
    for task in ("task", "on_failure", "on_recovery"):
        for name in _TASK_TEXTS:
            for path, text in _texts((value.get(task) or {}).get(name), (task, name)):
                yield from (
                    (
                        path,
                        f"{describe_character(character)}, is not a blank to a shell",
                        suggest_replacement(character),
                    )
                    for character in invisible_characters(text)
                )
                dash = _DASH.search(text)
                if dash and unicodedata.category(dash[1]) == "Pd":
                    yield path, f"{describe_character(dash[1])}, does not begin an option", suggest_replacement(dash[1])


def _texts(value: Any, path: json_text.Path) -> Iterator[tuple[json_text.Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (((*path, number), text) for number, text in enumerate(value))


def _retry(job: Job) -> Iterator[_Warning]:
    """Warn of a `max_delay` that shortens the first delay."""
    retry = job.retry
    if retry is not None and retry.delay > retry.max_delay:
        message = f"no delay is longer than `max_delay`, which is {retry.max_delay:g} s"
        yield ("retry", "delay"), message, f"give a `max_delay` of {retry.delay:g} or more, or a shorter `delay`"


def _tasks(job: Job, context: ParseContext) -> Iterator[_Warning]:
    """Yield the warnings of each task type, and one about a type that raises although it accepted the fields."""
    for name in ("task", "on_failure", "on_recovery"):
        spec = getattr(job, name)
        if spec is None or spec == NO_TASK:
            continue
        try:
            findings = list(context.task_type(spec.type).warnings(spec.params))
        except Exception as error:  # of another package, or ours
            message = f"the task type cannot say what it warns of: {type(error).__name__}: {error}"
            yield (name, "type"), message, "this is a fault of the scheduler or of the task type; please report it"
            continue
        yield from (((name, *finding.path), finding.message, finding.help) for finding in findings)
