"""The table of task types, with the place of each class. Classes are imported on first use.

A new type is one class in one file plus one line here, or a separate package with an entry point in the group
`jobscheduler.tasks`. Entry points are read only when a name is not in the table.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from jobscheduler.tasks.base import (
    FieldError,
    Outcome,
    ProcessTask,
    RunningProcess,
    StartFailedTemporarily,
    Task,
    TaskFailed,
)
from jobscheduler.tasks.command.process_search_issues import search_issues
from jobscheduler.tasks.context import Alert, Context
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.tasks.stop_signals import StopSignals, UnkillableProcess
from jobscheduler.util.text import format_error, nearest

__all__ = [
    "GUARD",
    "TASK_TYPES",
    "Alert",
    "Context",
    "FieldError",
    "Outcome",
    "ProcessTask",
    "RunningProcess",
    "StartFailedTemporarily",
    "StopSignals",
    "Task",
    "TaskFailed",
    "UnkillableProcess",
    "UnknownTask",
    "UnusableTask",
    "extra_issues",
    "search_issues",
    "task_names",
    "task_type",
]

# The built-in types: name -> `module:Class`.
TASK_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "execute_command": "jobscheduler.tasks.command.task:ExecuteCommand",
        "http_request": "jobscheduler.tasks.http.task:HttpRequest",
        "notify": "jobscheduler.tasks.notify.task:Notify",
    }
)

GROUP = "jobscheduler.tasks"  # entry points in which other packages offer task types


class UnknownTask(LookupError):
    """Raised for an unknown task type. `known` holds the existing names, `nearest` the most similar one."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.nearest = nearest(name, self.known)
        suggestion = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        names = ", ".join(f"`{known}`" for known in self.known)
        super().__init__(f"unknown task type `{name}`{suggestion} (known types: {names})")


class UnusableTask(LookupError):
    """Raised for a known task type whose class cannot be loaded on this host, as of a broken plug-in."""

    def __init__(self, name: str, where: str, why: str) -> None:
        self.name = name
        self.where = where
        super().__init__(f"task type `{name}` cannot be used: {where} {why}")


_loaded: dict[str, type[Task]] = {}
_lock = threading.Lock()


def extra_issues() -> tuple[str, ...]:
    """Return a sentence for each library that a definition needs for its messages and that is not installed."""
    library = sys.modules.get("jobscheduler.tasks.notify.library")  # loaded with the first such definition
    return () if library is None else tuple(library.missing())


def task_names() -> tuple[str, ...]:
    """Return the sorted names of all task types, those of other packages included."""
    return tuple(sorted({*TASK_TYPES, *_offered()}))


def task_type(name: str) -> type[Task]:
    """Return the class of the task type `name`.

    Raises `UnknownTask` if there is none, `UnusableTask` if its class cannot be loaded.
    """
    known = _loaded.get(name)
    if known is None:
        known = _load(name, _where(name))
        with _lock:
            _loaded[name] = known
    return known


def _where(name: str) -> str:
    built_in = TASK_TYPES.get(name)
    if built_in:
        return built_in
    offered = _offered()
    if name not in offered:
        raise UnknownTask(name, {*TASK_TYPES, *offered})
    return offered[name].value


def _offered() -> dict[str, EntryPoint]:
    """Return the entry points by name. Of two with the same name, that of the alphabetically first package wins."""
    try:
        points = sorted(
            entry_points(group=GROUP), key=lambda point: (point.dist.name if point.dist else "", point.value)
        )
    except Exception:  # bad metadata of any package on this host: all types of other packages are unknown then
        return {}
    return {point.name: point for point in reversed(points)}


def _load(name: str, where: str) -> type[Task]:
    module, _, attribute = where.partition(":")
    try:
        cls = getattr(importlib.import_module(module.strip()), attribute.partition("[")[0].strip())
    except BaseException as error:  # code of another package may raise anything, such as SystemExit
        raise UnusableTask(name, where, f"cannot be imported: {format_error(error)}") from error
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise UnusableTask(name, where, "is not a subclass of jobscheduler.tasks.Task")
    return cls
