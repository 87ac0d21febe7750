"""`--wait`: wait until the service has made a reload, as long as there is one that can make it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobscheduler.cli.problems import print_problem
from jobscheduler.model import Problem

if TYPE_CHECKING:
    from jobscheduler.database import JobTable

POLL_S = 0.2
"""How long to wait between two looks, in seconds."""

ABSENT_AFTER_S = 5.0
"""How long no service may have the database before that is told, in seconds: one may just be starting."""

TIMEOUT_S = 30.0
"""How long to wait without a word where it cannot be told whether a service has the database, in seconds."""


def wait_for_reload(
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
        if now - seen > ABSENT_AFTER_S:
            help_ = "the change is made, and in force when a service on this database starts"
            print_problem(Problem("no service uses this database", help=help_), sys.stderr)
            return 1
        if is_used is None and now - began > TIMEOUT_S and not is_told:
            print("still waiting: it cannot be told from here whether a service uses this database", file=sys.stderr)
            is_told = True
        sleep(POLL_S)
    if wait:
        print("reloaded")
    return 0
