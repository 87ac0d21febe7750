"""Describes the cluster as one node knows it, for verbs, page and metrics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.drift import Drift
from jobscheduler.cluster.lease import MAX_SKEW_S, Standing
from jobscheduler.cluster.nodes import NodeRow, Population
from jobscheduler.model.cluster_view import ClusterView, Difference, DriftedJob, NodeView, Role
from jobscheduler.util.instants import utc_now


class NodeViewer:
    """Puts together what the threads of a node know. Nothing here waits. Thread: any; one for `note`."""

    def __init__(
        self,
        node: str,
        watch: DatabaseWatch,
        standing: Callable[[], Standing],
        role: Callable[[], Role],
        lost_after: float,
        seed: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`lost_after` are the seconds after which a silent node is lost; `seed` returns what seeds `jitter`."""
        self._node = node
        self._watch = watch
        self._standing = standing
        self._role = role
        self._lost_after = lost_after
        self._seed = seed
        self._now = now
        self._known: tuple[Population, Drift, datetime | None] = (Population(), Drift(), None)
        self._differing: frozenset[str] = frozenset()
        self._lastingly: frozenset[str] = frozenset()
        self._since: tuple[Role, datetime] = (Role.STANDBY, now())

    def note(self, population: Population, drift: Drift) -> None:
        """Note what the database says of all nodes, and how this one differs from the leader.

        Files reach one node after the other, and each says what it has with its next beat only. So a node counts as
        different when it was so at the look before, too.
        """
        differing = self._differ(population)
        self._lastingly, self._differing = differing & self._differing, differing
        self._known = population, drift, self._now()

    def note_role(self, role: Role) -> None:
        """Note that this node leads from now on, or stands by."""
        self._since = role, self._now()

    def view(self) -> ClusterView:
        """Return how the cluster stands."""
        population, drift, known_at = self._known
        standing, away, role = self._standing(), self._watch.away, self._role()
        seen = standing.seen
        is_led = seen is not None and not seen.is_free
        leader = seen.holder if seen is not None and is_led else None
        return ClusterView(
            self._node,
            role,
            leader,
            seen.term.number if seen is not None and is_led else None,
            self._since[1],
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

    def _differ(self, population: Population) -> frozenset[str]:
        """Return the nodes that have other jobs or zone data than the leader."""
        seen = self._standing().seen
        holder = None if seen is None or seen.is_free else seen.holder
        leader = next((row.loaded for row in population.nodes if row.identity.node == holder), None)
        if leader is None:
            return frozenset()
        return frozenset(row.identity.node for row in population.nodes if not row.loaded.is_equal(leader))

    def _node_view(self, row: NodeRow) -> NodeView:
        loaded = row.loaded
        is_alive = row.silent < self._lost_after
        name, host = row.identity.node, row.process.host
        differs = name in self._lastingly
        return NodeView(name, host, loaded.version, row.silent, loaded.skew, is_alive, differs, loaded.tzdata)


def _drifted(drift: Drift) -> list[DriftedJob]:
    """Return the jobs of a drift with what is different, in order."""
    found = [
        *((job_id, Difference.ONLY_HERE) for job_id in drift.only_here),
        *((job_id, Difference.ONLY_THERE) for job_id in drift.only_there),
        *((job_id, Difference.CHANGED) for job_id in drift.different),
    ]
    return [DriftedJob(job_id, difference) for job_id, difference in sorted(found)]
