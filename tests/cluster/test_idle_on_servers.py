"""How many statements idle services ask of a server in a minute: by an event of SQLAlchemy, and by the server's count.

The event counts what cursors execute. The server counts all that it is sent, so also the begin and the end of a
transaction, pings and settings of a session: an idle node sends none of these.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.cluster_servers import Server, cluster_server
from tests.support.node_services import nodes
from tests.support.service import job
from tests.support.statements import counting
from tests.unit.test_cluster_idle import MAX_LEADER, MAX_STANDBY

__all__ = ["cluster_server"]

MINUTE_S = 60.0

SLACK = 30
"""Statements by which both counts may differ: a server counts an idle session's up to ten seconds late."""


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_idle_services_keep_to_their_budgets(cluster_server: Server, tmp_path: Path) -> None:
    """With the times of the defaults, and a job that is not due."""
    never = job("never", "0 0 29 2 *")
    with nodes(cluster_server.fresh(), tmp_path, lost_after=60.0, lease=6.0) as cluster:
        files = [tmp_path / f"asked-{name}" for name in "ab"]
        for name, file in zip("ab", files, strict=True):
            cluster.add(name, never, code=counting(file))
            cluster.leader()
        time.sleep(15)  # their first checkpoints and looks
        before, by_server = [file.stat().st_size for file in files], cluster_server.asked()
        time.sleep(MINUTE_S)
        asked = [file.stat().st_size - was for file, was in zip(files, before, strict=True)]
        time.sleep(2)
        by_server = cluster_server.asked() - by_server
    assert asked[0] <= MAX_LEADER, asked
    assert asked[1] <= MAX_STANDBY, asked
    assert sum(asked) - SLACK <= by_server <= sum(asked) + SLACK, (asked, by_server)
