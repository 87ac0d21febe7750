"""Ends the runs of a node that has been without the database for so long that others may take them for lost.

Example: with 60 s after which a silent node is lost, the runs of a node without the database end after 45 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sized

from jobscheduler.cluster.values import WORKER_LOST
from jobscheduler.model import EventLogger, Level

_HELP = "with a longer `lost-after` they may go on for longer without the database"


class CutOff:
    """The runs at work, and whether they were ended. Thread: one."""

    def __init__(
        self,
        is_cut_off: Callable[[float], bool],
        runs: Callable[[], Sized],
        end_runs: Callable[[str], object],
        log_event: EventLogger,
    ) -> None:
        """`is_cut_off` returns whether the runs count as lost by now; `runs` returns those at work on this node."""
        self._is_cut_off = is_cut_off
        self._runs = runs
        self._end_runs = end_runs
        self._log_event = log_event
        self._has_ended_runs = False

    def step(self, now: float) -> None:
        """End the runs if their time is over; once for each time without the database."""
        if not self._is_cut_off(now):
            self._has_ended_runs = False
        elif not self._has_ended_runs and self._runs():
            self._has_ended_runs = True
            self._log_event(Level.WARNING, "cluster.runs_ended", runs=len(self._runs()), help=_HELP)
            self._end_runs(WORKER_LOST)
