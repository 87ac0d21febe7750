"""The beat of a node: it says that it lives and what it has loaded, and looks at the other nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobscheduler import __version__
from jobscheduler.cluster.drift import jobset
from jobscheduler.cluster.leading import Leading
from jobscheduler.cluster.membership import Membership
from jobscheduler.cluster.node_reports import DriftReport
from jobscheduler.cluster.node_view import NodeViewer
from jobscheduler.cluster.nodes import Loaded, Population
from jobscheduler.cluster.this_node import ThisNode
from jobscheduler.cluster.values import WORKER_LOST
from jobscheduler.cluster.zone_data import zone_data_version
from jobscheduler.model import EventLogger, Level

MAX_INTERVAL_S = 10.0  # seconds from one beat of a node to the next, at most


class LostPlace:
    """What a node does when another service has taken its name, because this one was silent for so long."""

    def __init__(self, node: str, leading: Leading, end_runs: Callable[[str], object], log_event: EventLogger) -> None:
        self._node = node
        self._leading = leading
        self._end_runs = end_runs
        self._log_event = log_event
        self._is_noted = False

    def note(self) -> None:
        """Lead no more, and end the runs: they are lost. Once."""
        if self._is_noted:
            return
        self._is_noted = True
        help_ = "stop that service or give one of them another name with `--node NAME`, then restart this one"
        self._log_event(Level.ERROR, "cluster.displaced", node=self._node, help=help_)
        self._leading.leave("displaced")
        self._end_runs(WORKER_LOST)


class NodeBeat:
    """The beat of a node: each `interval` seconds. Thread: that of the account."""

    def __init__(
        self,
        this: ThisNode,
        membership: Membership,
        loaded: Callable[[], Loaded],
        drift: DriftReport,
        viewer: NodeViewer,
        lost_place: LostPlace,
        on_look: Callable[[float, Population], object],
    ) -> None:
        """`loaded` returns what this node has loaded now; `on_look` gets when each beat was sent, and what it finds."""
        self._this = this
        self._membership = membership
        self._loaded = loaded
        self._drift = drift
        self._viewer = viewer
        self._lost_place = lost_place
        self._on_look = on_look
        self.interval = min(MAX_INTERVAL_S, this.options.lost_after / 6)

    def step(self) -> None:
        """Say that this node lives, and note what the others say.

        Raises:
            Unavailable: the database cannot be used.

        """
        sent_at = self._this.monotonic()
        population = self._membership.beat(self._loaded())
        if not population.has(self._this.identity):
            self._lost_place.note()
            return
        self._on_look(sent_at, population)
        nodes = {row.identity.node: row for row in population.nodes}
        leader, own = nodes.get(self._viewer.leader or ""), nodes.get(self._this.name)
        is_leader = leader is not None and own is not None and leader.identity == own.identity
        self._drift.note(own, None if is_leader else leader, sent_at)
        self._viewer.note(population, self._drift.drift)


def loaded_now(hashes: Mapping[str, str], slots: int, skew: float) -> Loaded:
    """Return what a node has loaded: the program, zone data, and the definitions of these hashes."""
    return Loaded(__version__, zone_data_version(), jobset(hashes), slots, round(skew, 3))
