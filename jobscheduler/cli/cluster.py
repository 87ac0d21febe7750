"""`cluster`: show the nodes of a cluster, which one leads, and in what they differ."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options, api_path
from jobscheduler.cli.cluster_lines import ClusterScreen, cluster_lines, is_well
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.table import terminal_width, use_colour
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import request
from jobscheduler.util.instants import utc_now

EXAMPLES = """examples:
  jobscheduler cluster
  jobscheduler cluster || mail -s 'the cluster needs you' root
  jobscheduler cluster --json | jq -r '.nodes[] | select(.alive | not) | .node'

The services that share a database (`--cluster-url`) are the nodes of a cluster. One leads: it decides slots and starts
runs, and the others stand by. Any of them may be asked, here and with every other verb: what `run`, `stop`, `pause` and
`resume` want is done by the leader. The node that was asked has a `*`. BEAT is how long ago a node last said that it
is alive, CLOCK by how much its clock is ahead of the database's, JOBS whether it has the job files and the time zone
data of the leader. docs/cluster.md tells how to set a cluster up.
Exit status: 0 all is well or the service is alone, 1 the database is away, no node leads, one is silent, or nodes
differ, 2 wrong usage, 3 service not reachable."""

_ALONE = "this service is alone: it has no `--cluster-url`"
_SET_UP = """To have another host take over when this one fails, give both one database:
  jobscheduler db init --cluster-url URL     makes its tables, once
  jobscheduler serve --cluster-url URL ...   on each host
docs/cluster.md has the steps, and what it promises."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the cluster; return 1 if anything is wrong with it."""
    cluster: Mapping[str, Any] | None = request(client_settings(arguments).socket, "GET", api_path("cluster"))[
        "cluster"
    ]
    if arguments.json:
        print(json.dumps(cluster))
    elif cluster is None:
        print_wrapped(_ALONE)
        print(_SET_UP)
    else:
        screen = ClusterScreen(utc_now(), terminal_width(), use_colour(sys.stdout))
        for line in cluster_lines(cluster, screen):
            print(line)
    return 0 if cluster is None or is_well(cluster) else 1
