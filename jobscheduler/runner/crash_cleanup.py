"""End the processes of runs that a crash of the service interrupted."""

from __future__ import annotations

from collections.abc import Iterable

from jobscheduler.tasks.command.leftover_killer import LeftoverKiller
from jobscheduler.tasks.command.run_groups import RUN_GROUPS


def kill_leftovers(run_ids: Iterable[str]) -> int:
    """End the processes of runs that a crash interrupted. Return how many could not be ended.

    Takes up to seven seconds in all, for any number of processes.
    """
    interrupted = tuple(run_ids)
    left = LeftoverKiller(interrupted)()
    RUN_GROUPS.kill_runs(interrupted)
    return len(left)
