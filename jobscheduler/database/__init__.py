"""Jobs from a database: the second source, its log table, and the API for other programs.

Needs the extra `database`, of which nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobscheduler.database.command_job import Job
from jobscheduler.database.setup import INSTALL, CannotUse, has_extra, url_from

if TYPE_CHECKING:
    from jobscheduler.database.api import JobTable
    from jobscheduler.database.changes import Absent, Changes, Exists, Refused, Wrong
    from jobscheduler.database.errors import Unavailable
    from jobscheduler.database.queries import Row

__all__ = [
    "INSTALL",
    "Absent",
    "CannotUse",
    "Changes",
    "Exists",
    "Job",
    "JobTable",
    "Refused",
    "Row",
    "Unavailable",
    "Wrong",
    "has_extra",
    "url_from",
]

_AT = {"JobTable": "api", "Row": "rows", "Unavailable": "faults"}
_AT |= dict.fromkeys(("Absent", "Changes", "Exists", "Refused", "Wrong"), "changes")


def __getattr__(name: str) -> Any:
    """Import what needs the extra when somebody asks for it."""
    if name not in _AT:
        raise AttributeError(name)
    if not has_extra():
        raise ImportError(f"`jobscheduler.database.{name}` needs the extra `database`: {INSTALL}")
    return getattr(import_module(f"jobscheduler.database.{_AT[name]}"), name)
