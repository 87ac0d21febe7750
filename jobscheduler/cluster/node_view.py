"""Describes the cluster as one node knows it, for verbs, page and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.drift import Drift
from jobscheduler.cluster.lease import MAX_SKEW_S, Standing
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.nodes import NodeRow, Population
from jobscheduler.model.cluster_view import ClusterView, Difference, DriftedJob, NodeView, Role
from jobscheduler.util.instants import utc_now


class DifferingNodes:
    """Which nodes have lasting differences from the leader, in their jobs or zone data. Thread: one for `note`.

    Files reach one node after the other, and each says what it has with its next beat only. So a node counts as
    different when it was so at the look before, too.
    """

    def __init__(self) -> None:
        self._latest: frozenset[str] = frozenset()
        self._lasting: frozenset[str] = frozenset()

    def note(self, nodes: Sequence[NodeRow], leader: str | None) -> None:
        """Note what all nodes have loaded; `leader` is the name of one of them."""
        differing = _differing(nodes, leader)
        self._lasting, self._latest = differing & self._latest, differing

    def __contains__(self, node: object) -> bool:
        """Return whether a node differs."""
        return node in self._lasting


class NodeViewer:
    """Puts together what the threads of a node know. Nothing here waits. Thread: any; one for each `note…`."""

    def __init__(
        self,
        node: str,
        watch: DatabaseWatch,
        standing: Callable[[], Standing],
        lost_after: float,
        seed: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`lost_after` are the seconds after which a silent node is lost; `seed` returns what seeds `jitter`."""
        self._node = node
        self._watch = watch
        self._standing = standing
        self._lost_after = lost_after
        self._seed = seed
        self._now = now
        self._known: tuple[Population, Drift, datetime | None] = (Population(), Drift(), None)
        self._differing = DifferingNodes()
        self._role: tuple[Role, datetime] = (Role.STANDBY, now())

    def note(self, population: Population, drift: Drift) -> None:
        """Note what the database says of all nodes, and how this one differs from the leader."""
        self._differing.note(population.nodes, self.leader)
        self._known = population, drift, self._now()

    def note_role(self, role: Role) -> None:
        """Note that this node leads from now on, or stands by."""
        self._role = role, self._now()

    def view(self) -> ClusterView:
        """Return how the cluster stands."""
        population, drift, known_at = self._known
        standing, away, (role, since) = self._standing(), self._watch.away, self._role
        lease = _held(standing)
        return ClusterView(
            self._node,
            role,
            None if lease is None else lease.holder,
            None if lease is None else lease.term.number,
            since,
            tuple(map(self._node_view, population.nodes)),
            tuple(_drifted(drift)),
            self._watch.name,
            known_at,
            None if away is None else away.since,
            "" if away is None else away.problem + (f": {away.help}" if away.help else ""),
            population.queued,
            population.running,
            standing.skew,
            MAX_SKEW_S,
            self._seed(),
        )

    @property
    def leader(self) -> str | None:
        """The node that has the lease, as this one last saw it."""
        lease = _held(self._standing())
        return None if lease is None else lease.holder

    def _node_view(self, row: NodeRow) -> NodeView:
        loaded = row.loaded
        is_alive = row.silent < self._lost_after
        name, host = row.identity.node, row.process.host
        differs = name in self._differing
        return NodeView(name, host, loaded.version, row.silent, loaded.skew, is_alive, differs, loaded.tzdata)


def _held(standing: Standing) -> LeaseRow | None:
    """Return the lease as it was last seen, None if no node has it."""
    seen = standing.seen
    return None if seen is None or seen.is_free else seen


def _differing(nodes: Sequence[NodeRow], leader: str | None) -> frozenset[str]:
    """Return the nodes that have other jobs or zone data than the leader; none if that one is not among them."""
    loaded = next((row.loaded for row in nodes if row.identity.node == leader), None)
    if loaded is None:
        return frozenset()
    return frozenset(row.identity.node for row in nodes if not row.loaded.is_equal(loaded))


def _drifted(drift: Drift) -> list[DriftedJob]:
    """Return the jobs of a drift with what is different, in order."""
    found = [
        *((job_id, Difference.ONLY_HERE) for job_id in drift.only_here),
        *((job_id, Difference.ONLY_THERE) for job_id in drift.only_there),
        *((job_id, Difference.CHANGED) for job_id in drift.different),
    ]
    return [DriftedJob(job_id, difference) for job_id, difference in sorted(found)]
