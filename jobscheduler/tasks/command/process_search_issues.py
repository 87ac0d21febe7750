"""Describe why the service cannot find the processes of runs or limit them, for `status` and `/healthz`."""

from __future__ import annotations

from jobscheduler.tasks.command import run_markers, tree_search
from jobscheduler.tasks.command.run_groups import RUN_GROUPS
from jobscheduler.tasks.command.run_markers import MARKERS, MarkerReader
from jobscheduler.tasks.command.tree_search import SEARCH, TreeSearch


def search_issues(reader: MarkerReader = MARKERS, search: TreeSearch = SEARCH) -> tuple[str, ...]:
    """Return why processes are not found, as too many reads of /proc hang, or not limited. Empty if all is well."""
    issues = [*RUN_GROUPS.issues()]
    if reader.is_blind:
        issues.append(
            f"{run_markers.MAX_HUNG} reads of the environment of a process hang: "
            f"processes are not known by `{run_markers.RUN_ID_VAR}`"
        )
    if search.is_blind:
        issue = f"{tree_search.MAX_HUNG} searches for the processes of a run hang"
        issues.append(f"{issue}: those that have left the session of their run are not ended")
    return tuple(issues)
