"""Describe why the service cannot find the processes of runs, limit or read them, for `status` and `/healthz`."""

from __future__ import annotations

import time

from jobscheduler.tasks.command import run_markers, tree_search
from jobscheduler.tasks.command.reaper_thread import REAPER, ReaperThread
from jobscheduler.tasks.command.run_groups import RUN_GROUPS
from jobscheduler.tasks.command.run_markers import MARKERS, MarkerReader
from jobscheduler.tasks.command.tree_search import SEARCH, TreeSearch


def search_issues(
    reader: MarkerReader = MARKERS, search: TreeSearch = SEARCH, reaper: ReaperThread = REAPER
) -> tuple[str, ...]:
    """Return why processes are not found, as too many reads of /proc hang, not limited or not read; else nothing."""
    issues = [*RUN_GROUPS.issues()]
    if reader.is_blind:
        issues.append(
            f"{run_markers.MAX_HUNG} reads of the environment of a process hang: "
            f"processes are not known by `{run_markers.RUN_ID_VAR}`"
        )
    if search.is_blind:
        issue = f"{tree_search.MAX_HUNG} searches for the processes of a run hang"
        issues.append(f"{issue}: those that have left the session of their run are not ended")
    if reaper.is_hung(time.monotonic()):
        issues.append(
            "a pipe that an ended run left open does not answer: processes that write to such pipes will wait"
        )
    return tuple(issues)
