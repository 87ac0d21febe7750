"""`--wait`: wait until the service has made a reload, as long as there is one that can make it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobscheduler.cli.problems import show
from jobscheduler.model import Problem

if TYPE_CHECKING:
    from jobscheduler.database import JobTable

LOOK = 0.2
"""How long to wait between two looks, in seconds."""

ABSENT = 5.0
"""How long no service may have the database before that is told, in seconds: one may just be starting."""

SILENT = 30.0
"""How long to wait without a word where it cannot be told whether a service has the database, in seconds."""


def finish(
    jobs: JobTable,
    marker: int,
    *,
    wait: bool,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until the service has made the reload, if that is wanted; return the exit status."""
    sys.stdout.flush()
    seen = began = monotonic()
    is_told = False
    while wait and not jobs.is_reloaded(marker):
        is_used = jobs.is_used()
        now = monotonic()
        if is_used is not False:
            seen = now
        if now - seen > ABSENT:
            help_ = "the change is made, and in force when a service on this database starts"
            show(Problem("no service uses this database", help=help_), sys.stderr)
            return 1
        if is_used is None and now - began > SILENT and not is_told:
            print("still waiting: it cannot be told from here whether a service uses this database", file=sys.stderr)
            is_told = True
        sleep(LOOK)
    if wait:
        print("reloaded")
    return 0
