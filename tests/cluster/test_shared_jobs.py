"""Nodes of a cluster that have their jobs in one database, which may be that of the cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobscheduler.cluster.schema import make_tables
from jobscheduler.database import JobTable, queries
from jobscheduler.database.engine import Database
from tests.host.test_database import table_of
from tests.support.database_world import DatabaseWorld
from tests.support.databases import Place, running
from tests.support.node_services import Nodes, nodes
from tests.support.service import job, wait_until


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[object]:
    """A server for all tests of this file, or none for SQLite."""
    if request.param == "sqlite":
        yield None
    else:
        with running() as made:
            yield made


@pytest.fixture
def place(server: object, tmp_path: Path) -> Place:
    """An empty database."""
    file = tmp_path / "both.db"
    if server is None:
        return Place(f"sqlite:///{file}", None, file)
    return Place(server.fresh(), server, file)  # type: ignore[attr-defined]


def world(base: Path, place: Place, decides: list[bool]) -> DatabaseWorld:
    """A node with the jobs of a database, which leads while the value in the list says so."""
    base.mkdir()
    return DatabaseWorld(base, place, decides=lambda: decides[0])


def test_the_leader_completes_requests_and_the_others_read_then(place: Place, tmp_path: Path) -> None:
    """Whoever made a request learns from it that the leader has the jobs. Without a leader it stays."""
    leads, stands_by = [True], [False]
    first, second = world(tmp_path / "a", place, leads), world(tmp_path / "b", place, stands_by)
    with first.running(), second.running():
        first.table.add(job("one"))
        for node in (first, second):
            wait_until(lambda node=node: node.ids() == ["one"])
        assert second.words("database.taken") == []
        assert second.reloader.issues() == ()
        leads[0] = False
        marker = first.table.add(job("two"))
        polls = second.syncs
        first.reloader.refresh(10)
        second.reloader.refresh(10)
        assert (second.ids(), second.syncs) == (["one", "two"], polls + 1)
        assert not first.table.is_reloaded(marker)
        stands_by[0] = True
        second.reloaded()
        assert first.table.is_reloaded(marker)


def test_a_request_that_is_completed_after_a_later_one_counts(place: Place, tmp_path: Path) -> None:
    """The program that made it may have committed later. The highest that is done does not tell."""
    stands_by = [False]
    node = world(tmp_path / "b", place, stands_by)
    with node.table.database.writing() as connection:
        late, early = (queries.request_reload(connection, datetime.now(UTC)) for _ in range(2))
        queries.complete_reloads(connection, [early], datetime.now(UTC))
    with node.running():
        before = node.syncs
        with node.table.database.writing() as connection:
            queries.complete_reloads(connection, [late], datetime.now(UTC))
        wait_until(lambda: node.syncs > before)


def test_a_service_that_is_no_node_is_told_on_each_node(place: Place, tmp_path: Path) -> None:
    """It has the lock that nodes do not take, and runs the jobs once more."""
    (tmp_path / "alone").mkdir()
    alone = DatabaseWorld(tmp_path / "alone", place)
    with alone.running(), world(tmp_path / "a", place, [True]).running() as node:
        assert any("no node of this cluster" in issue for issue in node.reloader.issues())


def cluster_on(place: Place, cluster: Nodes) -> JobTable:
    """Start two nodes whose jobs are in the database of the cluster; return the table of jobs."""
    table = table_of(place)
    for name in ("a", "b"):
        cluster.add(name, more=("--database-url-file", str(cluster.url_file), "--reload-interval", "3"))
    return table


def test_both_nodes_have_the_jobs_of_the_database_of_the_cluster(place: Place, tmp_path: Path) -> None:
    """A leader that dies after it has completed a request is followed by one that has read the table since."""
    make_tables(Database(place.url))
    with nodes(place.url, tmp_path, with_tables=False) as cluster:
        table = cluster_on(place, cluster)
        name, term = cluster.leader()
        marker = table.add(cluster.marked())
        for service in cluster.services.values():
            service.wait_for("job.added", job_id="s")
        assert table.is_reloaded(marker)
        cluster.run_in_term(term)
        (other,) = {"a", "b"} - {name}
        cluster.freeze(other)
        marker = table.update(cluster.marked(description="newer"))
        wait_until(lambda: table.is_reloaded(marker))
        cluster.signal(name, signal.SIGKILL)
        cluster.signal(other, signal.SIGCONT)
        assert cluster.leader(other_than=term)[0] == other
        (led,), (updated,) = (
            cluster.services[other].words("cluster.leads"),
            cluster.services[other].words("job.updated"),
        )
        assert updated["time"] <= led["time"]
        cluster.run_in_term(cluster.leader(other_than=term)[1])
        table.remove("s")
        cluster.services[other].wait_for("job.removed", job_id="s")
        wait_until(lambda: all(row.state == "final" for row in cluster.rows()), 20, "every row is final")
        assert cluster.services[other].stop() == 0
        cluster.check()
