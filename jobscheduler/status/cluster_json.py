"""The JSON of a cluster, as `jobscheduler cluster`, `status` and the control socket show it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jobscheduler.model.cluster_view import ClusterView, NodeView
from jobscheduler.util.instants import format_instant

MAX_DRIFTED = 100  # jobs in which nodes differ that are named


def cluster_json(view: ClusterView | None) -> dict[str, Any] | None:
    """Return the cluster as JSON; None for a service that is alone."""
    if view is None:
        return None
    return {
        "node": view.node,
        "role": view.role.value,
        "leader": view.leader,
        "term": view.term,
        "since": _instant(view.since),
        "database": view.database,
        "known_at": _instant(view.known_at),
        "away_since": _instant(view.away_since),
        "away": view.away,
        "queued": view.queued,
        "running": view.running,
        "skew": round(view.skew, 3),
        "jitter_seed": view.seed,
        "nodes": [_node_json(node, view) for node in view.nodes],
        "drift": [{"job_id": job.job_id, "difference": job.difference.value} for job in view.drift[:MAX_DRIFTED]],
        "drift_count": len(view.drift),
    }


def _node_json(node: NodeView, view: ClusterView) -> dict[str, Any]:
    return {
        "node": node.name,
        "host": node.host,
        "version": node.version,
        "tzdata": node.tzdata,
        "leads": node.name == view.leader,
        "alive": node.is_alive,
        "silent": round(node.silent, 1),
        "skew": round(node.skew, 3),
        "differs": node.differs,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)
