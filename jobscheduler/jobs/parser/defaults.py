"""Fields that all jobs have which do not say otherwise: `[defaults]` of the settings file.

1. `[defaults]` holds fields of a job, `[defaults.TYPE]` fields of every task of that type, also of alerts.
2. Objects are merged key by key, everything else replaces the default, and `null` takes the default away.
3. An alert (`on_failure`, `on_recovery`) of another type than the default's replaces it as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobscheduler.jobs.parser import schema
from jobscheduler.model import Problem
from jobscheduler.util import json_text

ALERTS = ("on_failure", "on_recovery")
TASKS = ("task", *ALERTS)


@dataclass(frozen=True, slots=True)
class Defaults:
    """Default fields, of jobs and of tasks by type. `source` is the file that they stand in.

    `problems` are those of alerts that cannot run on this host: they are left out, because they must not stop all jobs.
    """

    job: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = field(default="", compare=False)
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    def apply(self, definition: dict[str, Any]) -> dict[str, Any]:
        """Return a definition with the defaults of what it does not say, and without the fields that are null.

        An alert that is null stays: it says that there is none, also not the one of the service.
        """
        merged = definition
        if self.job or None in definition.values():
            merged = _merge(self.job, definition, may_be_null=ALERTS)
            merged = {name: value for name, value in merged.items() if value is not None or not _is_optional(name)}
            if "limits" not in definition and not _is_command(merged.get("task")):
                merged.pop("limits", None)
        for name in TASKS:
            task = merged.get(name)
            if isinstance(task, dict) and (fields := self.tasks.get(task_type(task))):
                merged = {**merged, name: _merge(fields, task)}
        return merged

    def origin(self, definition: Any, path: json_text.Path) -> str | None:
        """Return the table that gave a definition the value at `path`; None if the definition says it itself."""
        if not path or not isinstance(definition, dict) or _has(definition, path):
            return None
        merged = self.apply(definition)
        if not _has(merged, path):
            return None
        name = task_type(merged[path[0]]) if path[0] in TASKS and isinstance(merged[path[0]], dict) else ""
        is_of_task = len(path) > 1 and path[1] in self.tasks.get(name, ())
        return f"`[defaults.{name}]` in {self.source}" if is_of_task else f"`[defaults]` in {self.source}"


NO_DEFAULTS = Defaults()


def task_type(task: Mapping[str, Any]) -> str:
    """Return the name of the type of a task, empty if it has none."""
    name = task.get("type")
    return name if isinstance(name, str) else ""


def _is_command(task: Any) -> bool:
    """Return whether a task is a command: other tasks have no processes that default limits could be for."""
    return isinstance(task, dict) and task_type(task) == "execute_command"


def _is_optional(name: str) -> bool:
    return name not in ALERTS and name in schema.optional_fields()


def _has(value: Any, path: json_text.Path) -> bool:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):  # the definition has no such field
            return False
    return True


def _merge(default: Mapping[str, Any], given: Mapping[str, Any], may_be_null: tuple[str, ...] = ()) -> dict[str, Any]:
    """Merge two objects key by key; a null in `given` takes the default away, except where it has a meaning."""
    merged = {name: value for name, value in default.items() if name not in given}
    for name, value in given.items():
        former = default.get(name)
        if value is None and name in default and name not in may_be_null:
            continue
        is_merged = isinstance(value, dict) and isinstance(former, dict) and not _is_other_task(former, value)
        merged[name] = _merge(former, value) if is_merged else value  # type: ignore[arg-type]
    return merged


def _is_other_task(default: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether two objects are tasks of different types: the fields of one mean nothing for the other."""
    return "type" in default and "type" in given and default["type"] != given["type"]
