"""The metrics of a cluster, as one of its nodes knows it. A service that is alone has none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from jobscheduler.model.cluster_view import ClusterView, NodeView


def cluster_metrics(cluster: ClusterView) -> Iterator[Metric]:
    """Yield every metric of a cluster."""
    yield _gauge("leader", "1 while this node leads, else 0.", cluster.leads)
    if cluster.term is not None:
        yield _gauge("term", "The number of the term, which grows with each new leader.", cluster.term)
    yield _gauge("database_up", "1 while the database of the cluster answers this node, else 0.", not cluster.is_away)
    runs = GaugeMetricFamily("jobscheduler_cluster_runs", "Runs of all nodes by their state.", labels=["state"])
    runs.add_metric(["queued"], cluster.queued)
    runs.add_metric(["running"], cluster.running)
    yield runs
    yield _by_node(
        cluster, "last_beat_seconds", "Seconds since a node said that it is alive.", lambda node: node.silent
    )
    help_ = "By how many seconds the clock of a node is ahead of the database's."
    yield _by_node(cluster, "clock_skew_seconds", help_, lambda node: node.skew)
    help_ = "1 while a node has other jobs or time zone data than the leader, else 0."
    yield _by_node(cluster, "differs", help_, lambda node: node.differs)


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"jobscheduler_cluster_{name}", help_, value)


def _by_node(cluster: ClusterView, name: str, help_: str, value: Callable[[NodeView], float]) -> Metric:
    metric = GaugeMetricFamily(f"jobscheduler_cluster_node_{name}", help_, labels=["node"])
    for node in cluster.nodes:
        metric.add_metric([node.name], value(node))
    return metric
