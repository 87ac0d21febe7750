"""Say where an unknown field belongs: one of a task that stands beside it, one of a job that stands inside its task."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jobscheduler.jobs.parser import schema
from jobscheduler.util.json_text import Path

_TASKS = ("task", "on_failure", "on_recovery")


def misplaced(path: Path, written: Any) -> str | None:
    """Return the help for the unknown field at a path, if it is one of another place; else None."""
    name = path[-1]
    if len(path) == 1:
        return _of_a_task(str(name), written)
    if len(path) == 2 and path[0] in _TASKS and name in schema.job_fields():
        where = "`task`" if path[0] == "task" else f"`{path[0]}`, which is a task"
        return f"`{name}` belongs beside {where}, not inside it"
    return None


def _of_a_task(name: str, written: Any) -> str | None:
    types = [type_ for type_ in _types_with(name) if type_]
    if not types:
        return None
    task = written.get("task") if isinstance(written, dict) else None
    if isinstance(task, dict):
        is_of_type = task.get("type") in types or not isinstance(task.get("type"), str)
        return f"`{name}` belongs inside `task`" if is_of_type else None
    return f'`{name}` belongs inside `task`: write `"task": {{ "type": "{types[0]}", "{name}": ... }}`'


@cache
def _types_with(name: str) -> tuple[str, ...]:
    return tuple(_iter_types_with(name))


def _iter_types_with(name: str) -> Iterator[str]:
    for type_, rules in schema.task_schemas().items():
        if name in rules.get("properties", {}):
            yield type_
