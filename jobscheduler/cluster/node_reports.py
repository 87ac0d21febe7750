"""Says what an operator has to know of a node: its clock differs, or its jobs are others than those of the leader.

Each is said when it changes. Files that are copied to one node after the other differ for a moment, so a drift is said
when it has lasted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobscheduler.cluster.drift import Drift, drift
from jobscheduler.cluster.lease import MAX_SKEW_S
from jobscheduler.cluster.nodes import NodeRow
from jobscheduler.model import EventLogger, Level

MAX_QUIET_SKEW_S = 1.0  # seconds that clocks may differ without a word

_SETTLE_S = 10.0  # seconds for which a drift must have lasted

_CLOCKS = "let both hosts keep their clocks by NTP, such as chrony or systemd-timesyncd"

_COPIES = "let whatever copies job files copy them to every node; `jobscheduler cluster` shows the rest"


class SkewReport:
    """Says when the clock of this host and that of the database begin to differ, and when they agree again."""

    def __init__(self, log_event: EventLogger) -> None:
        self._log_event = log_event
        self._level = 0

    def note(self, skew: float) -> None:
        """Note how many seconds this host's clock is ahead of the database's."""
        level = sum(abs(skew) > limit for limit in (MAX_QUIET_SKEW_S, MAX_SKEW_S))
        if level == self._level:
            return
        self._level = level
        if not level:
            self._log_event(Level.INFO, "cluster.clock_agrees")
            return
        may_not = f"a node whose clock differs by more than {MAX_SKEW_S:g} s does not lead; " if level > 1 else ""
        self._log_event(Level.WARNING, "cluster.clock_differs", ahead=round(skew, 3), help=may_not + _CLOCKS)


class DriftReport:
    """Compares what this node has loaded with what the leader has. Thread: one."""

    def __init__(
        self,
        log_event: EventLogger,
        hashes: Callable[[], Mapping[str, str]],
        hashes_of_leader: Callable[[], Mapping[str, str]],
    ) -> None:
        """The hash of each job, here and as the leader has it."""
        self._log_event = log_event
        self._hashes = hashes
        self._hashes_of_leader = hashes_of_leader
        self._since: float | None = None
        self._told = ""
        self.drift = Drift()

    def note(self, own: NodeRow | None, leader: NodeRow | None, now: float) -> None:
        """Compare two nodes; None if one is not known. `now` is in seconds of a clock that is never set."""
        if own is None or leader is None or own.loaded.is_equal(leader.loaded):
            self._since, self.drift = None, Drift()
            self._tell("", None)
            return
        self._since = now if self._since is None else self._since
        if now - self._since < _SETTLE_S:
            return
        self.drift = drift(self._hashes(), self._hashes_of_leader())
        self._tell(str(self.drift), leader, own)

    def _tell(self, jobs: str, leader: NodeRow | None, own: NodeRow | None = None) -> None:
        zones = "" if leader is None or own is None else _zones(own, leader)
        told = f"{jobs}|{zones}" if jobs or zones else ""
        if told == self._told:
            return
        self._told = told
        if leader is None or not told:
            self._log_event(Level.INFO, "cluster.drift_over")
            return
        name = leader.identity.node
        self._log_event(
            Level.WARNING, "cluster.drift", leader=name, jobs=jobs or None, tzdata=zones or None, help=_COPIES
        )


def _zones(own: NodeRow, leader: NodeRow) -> str:
    here, there = own.loaded.tzdata, leader.loaded.tzdata
    return "" if here == there else f"{here or 'unknown'} here, {there or 'unknown'} on the leader"
