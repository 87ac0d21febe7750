"""Find what spreads the starts of slots with `jitter`, as the service does: that of the cluster, or of this host."""

from __future__ import annotations

import sys

from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.config import Settings
from jobscheduler.control.client import ApiError, ServiceUnreachable, request
from jobscheduler.util.host_id import host_seed

_UNKNOWN = "note: the nodes of a cluster have starts with `jitter` in common, and those are known while the service is"
_FOLLOWS = "connected to its database; what follows are the starts of a service that is alone"


def jitter_seed(settings: Settings) -> str:
    """Return the seed of the service with these settings. On a node that cannot tell it, standard error says so."""
    is_node = bool(settings.cluster_url or settings.cluster_url_file)
    try:
        cluster = request(settings.socket, "GET", "/v1/cluster")["cluster"]
        is_node, seed = cluster is not None, cluster and cluster["jitter_seed"]
    except (ServiceUnreachable, ApiError):
        seed = None
    if is_node and seed is None:
        print_wrapped(f"{_UNKNOWN} {_FOLLOWS}", sys.stderr)
    return seed or host_seed(settings.host_id, settings.log_file.parent)
