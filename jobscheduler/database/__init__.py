"""Jobs from a database: the second source, its log table, and the API for other programs.

It needs the extra `database`, which is not imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobscheduler.database.command_job import CommandJob
from jobscheduler.database.setup import INSTALL, DatabaseConfigError, is_installed, load_url

if TYPE_CHECKING:
    from jobscheduler.database.api import JobTable
    from jobscheduler.database.changes import Changes, InvalidJob, JobExists, JobNotFound, JobTableError
    from jobscheduler.database.errors import Unavailable
    from jobscheduler.database.queries import Row

__all__ = [
    "INSTALL",
    "Changes",
    "CommandJob",
    "DatabaseConfigError",
    "InvalidJob",
    "JobExists",
    "JobNotFound",
    "JobTable",
    "JobTableError",
    "Row",
    "Unavailable",
    "is_installed",
    "load_url",
]

_AT = {"JobTable": "api", "Row": "queries", "Unavailable": "errors"}
_AT |= dict.fromkeys(("Changes", "InvalidJob", "JobExists", "JobNotFound", "JobTableError"), "changes")


def __getattr__(name: str) -> Any:
    """Import a name that needs the extra on first use."""
    if name not in _AT:
        raise AttributeError(name)
    if not is_installed():
        raise ImportError(f"`jobscheduler.database.{name}` needs the extra `database`: {INSTALL}")
    return getattr(import_module(f"jobscheduler.database.{_AT[name]}"), name)
