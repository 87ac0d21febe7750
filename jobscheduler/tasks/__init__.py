"""The table of task types: a name, and where its class is; imported on first use.

A further type is one class in one file plus one line here, or a separate package with an entry point in the group
`jobscheduler.tasks`. Entry points are looked up when a name is not in the table, never before.
"""

from __future__ import annotations

import difflib
import importlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from jobscheduler.tasks.base import (
    Alert,
    Context,
    FieldError,
    Outcome,
    ProcessTask,
    RunningProcess,
    StartFailedTemporarily,
    Task,
    TaskFailed,
)
from jobscheduler.tasks.blind_spots import search_issues
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.tasks.stop_signals import StopSignals, Survivor

__all__ = [
    "GUARD",
    "TASK_TYPES",
    "Alert",
    "Context",
    "FieldError",
    "Listing",
    "Outcome",
    "ProcessTask",
    "RunningProcess",
    "StartFailedTemporarily",
    "StopSignals",
    "Survivor",
    "Task",
    "TaskFailed",
    "UnknownTask",
    "UnusableTask",
    "listing",
    "search_issues",
    "task_names",
    "task_type",
]

TASK_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "execute_command": "jobscheduler.tasks.command.task:ExecuteCommand",
        "http_request": "jobscheduler.tasks.http.task:HttpRequest",
    }
)
"""The types that come with the scheduler: name -> `module:Class`."""

GROUP = "jobscheduler.tasks"
"""The group of entry points in which other packages offer task types."""


class UnknownTask(LookupError):
    """No task type has this name. `known` are the names that exist, `nearest` the one that was perhaps meant."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.nearest = next(iter(difflib.get_close_matches(name, self.known, n=1)), None)
        meant = f"; did you mean `{self.nearest}`?" if self.nearest else ""
        names = ", ".join(f"`{known}`" for known in self.known)
        super().__init__(f"unknown task type `{name}`{meant} (known types: {names})")


class UnusableTask(LookupError):
    """The name is known, but its class cannot be had on this host: a plug-in that is broken."""

    def __init__(self, name: str, where: str, why: str) -> None:
        self.name = name
        self.where = where
        super().__init__(f"task type `{name}` cannot be used: {where} {why}")


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of the list of task types. `problem` says why the type cannot be used, None if it can."""

    name: str
    where: str
    summary: str
    problem: str | None = None

    def __str__(self) -> str:
        return f"{self.name}  {self.problem or self.summary}  ({self.where})"


_loaded: dict[str, type[Task]] = {}
_lock = threading.Lock()


def task_names() -> tuple[str, ...]:
    """The names of all task types, those of other packages included, sorted."""
    return tuple(sorted({*TASK_TYPES, *_offered()}))


def task_type(name: str) -> type[Task]:
    """The class of the task type `name`.

    Raises `UnknownTask` if there is none, `UnusableTask` if a package offers one that cannot be loaded.
    """
    known = _loaded.get(name)
    if known is None:
        known = _load(name, _where(name))
        with _lock:
            _loaded[name] = known
    return known


def listing() -> tuple[Listing, ...]:
    """All task types as a printable list; what is broken is a line with its problem and never an exception."""
    offers, trouble = _offers()
    effective = _offered()
    hidden = [offer for offer in offers if offer.name in TASK_TYPES or effective[offer.name] != offer]
    return (
        *(_listed(name) for name in task_names()),
        *(Listing(offer.name, offer.value, "", "the name is taken") for offer in hidden),
        *((Listing("?", f"entry points {GROUP}", "", trouble),) if trouble else ()),
    )


def _listed(name: str) -> Listing:
    where = _where(name)
    try:
        found = task_type(name)
    except UnusableTask as unusable:
        return Listing(name, where, "", str(unusable))
    return Listing(name, where, (found.__doc__ or "").strip().partition("\n")[0])


def _where(name: str) -> str:
    built_in = TASK_TYPES.get(name)
    if built_in:
        return built_in
    offered = _offered()
    if name not in offered:
        raise UnknownTask(name, {*TASK_TYPES, *offered})
    return offered[name].value


def _offered() -> dict[str, EntryPoint]:
    """What other packages offer; of two with one name the package whose name sorts first has it."""
    return {point.name: point for point in reversed(_offers()[0])}


def _offers() -> tuple[list[EntryPoint], str | None]:
    """All entry points of the group, and what is wrong with the installed packages if they cannot be read."""
    try:
        found = entry_points(group=GROUP)
        return sorted(found, key=lambda point: (point.dist.name if point.dist else "", point.value)), None
    except Exception as error:  # metadata of any package on this host
        return [], f"cannot be read: {type(error).__name__}: {error}"


def _load(name: str, where: str) -> type[Task]:
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module.strip()), attribute.partition("[")[0].strip())
    except BaseException as error:  # another package's code, SystemExit and the like too: not the service's problem
        raise UnusableTask(name, where, f"cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise UnusableTask(name, where, "is not a subclass of jobscheduler.tasks.Task")
    return found
