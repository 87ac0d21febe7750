"""Jobs from a database: the second source, its log table, and the API for other programs.

Needs the extra `database`, of which nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobscheduler.database.admission import INSTALL, CannotUse, has_extra, url_from
from jobscheduler.database.job import Job

if TYPE_CHECKING:
    from jobscheduler.database.api import JobTable

__all__ = ["INSTALL", "CannotUse", "Job", "JobTable", "has_extra", "url_from"]


def __getattr__(name: str) -> Any:
    if name != "JobTable":
        raise AttributeError(name)
    if not has_extra():
        raise ImportError(f"`jobscheduler.database.JobTable` needs the extra `database`: {INSTALL}")
    from jobscheduler.database.api import JobTable  # noqa: PLC0415 - an extra

    return JobTable
