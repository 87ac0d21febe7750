"""What keeps the service from finding the processes of runs, in words for `status` and `/healthz`."""

from __future__ import annotations

from jobscheduler.tasks.command import run_markers, tree_search
from jobscheduler.tasks.command.run_markers import MARKERS, MarkerReader
from jobscheduler.tasks.command.tree_search import SEARCH, TreeSearch


def search_issues(reader: MarkerReader = MARKERS, search: TreeSearch = SEARCH) -> tuple[str, ...]:
    """Say which processes are not found because too many reads of /proc hang; empty if all are found."""
    spots = []
    if reader.is_blind:
        spots.append(
            f"{run_markers.MAX_HUNG} reads of the environment of a process hang: "
            f"processes are not known by `{run_markers.RUN_ID_VAR}`"
        )
    if search.is_blind:
        hung = f"{tree_search.MAX_HUNG} looks for the processes of a run hang"
        spots.append(f"{hung}: those that have left the session of their run are not ended")
    return tuple(spots)
