"""`--wait`: wait until the service has reloaded, as long as a service uses the database."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobscheduler.cli.problems import print_problem
from jobscheduler.model import Problem

if TYPE_CHECKING:
    from jobscheduler.database import JobTable

POLL_S = 0.2  # seconds between two checks
ABSENT_AFTER_S = 5.0  # seconds without a service before an error; a service may just be starting
TIMEOUT_S = 30.0  # seconds before a notice, if it is not known whether a service uses the database


def wait_for_reload(
    jobs: JobTable,
    marker: int,
    *,
    wait: bool,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until the service has reloaded, if `wait` is set; return the exit status."""
    sys.stdout.flush()
    last_seen = start = monotonic()
    is_reported = False
    while wait and not jobs.is_reloaded(marker):
        is_used = jobs.is_used()
        now = monotonic()
        if is_used is not False:
            last_seen = now
        if now - last_seen > ABSENT_AFTER_S:
            help_ = "the change is made, and takes effect when a service on this database starts"
            print_problem(Problem("no service uses this database", help=help_), sys.stderr)
            return 1
        if is_used is None and now - start > TIMEOUT_S and not is_reported:
            print("still waiting: this command cannot see whether a service uses this database", file=sys.stderr)
            is_reported = True
        sleep(POLL_S)
    if wait:
        print("reloaded")
    return 0
