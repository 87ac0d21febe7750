"""Two services on one SQLite database: one leads, the other stands by. `tests/cluster` has the rest, and servers."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jobscheduler.cluster.schema import make_tables
from jobscheduler.database.engine import Database
from tests.support.fork_server import MAIN
from tests.support.node_services import Nodes, nodes
from tests.support.service import Service, job

LEASE_S = 6.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Nodes]:
    """A database with the tables. The lease is long, so that no node loses it on a busy host."""
    with nodes(f"sqlite:///{tmp_path}/cluster.db", tmp_path, 20.0, LEASE_S) as made:
        yield made


def test_a_leader_that_stops_hands_over_at_once_while_its_run_goes_on(cluster: Nodes) -> None:
    """Long before its lease ends. Each slot runs once, on the one or on the other. The run has its record."""
    long = job("long", "* * * * *", "sleep 2; echo done", enabled=False)
    first = cluster.add("a", cluster.marked(), long)
    leader, term = cluster.leader()
    assert leader == "a"
    second = cluster.add("b", cluster.marked(), long)
    cluster.run_in_term(term)
    assert second.words("run.started") == []
    cluster.run_by_hand("a", "long")
    first.wait_for("run.started", job_id="long")
    cluster.signal("a", signal.SIGTERM)
    leader, term = cluster.leader(other_than=term)
    assert leader == "b"
    assert first.process is not None
    assert first.process.poll() is None
    cluster.run_in_term(term)
    assert first.process.wait(20) == 0
    assert [one["node"] for one in first.words("SUCCESS", job_id="long")] == ["a"]
    (stood_by,), (led,) = first.words("cluster.stands_by", reason="stopping"), second.words("cluster.leads")
    gap = datetime.fromisoformat(led["time"]) - datetime.fromisoformat(stood_by["time"])
    assert gap.total_seconds() < LEASE_S / 2
    cluster.end()
    cluster.check()


def test_a_second_service_of_one_name_does_not_start(cluster: Nodes) -> None:
    """Each would close the runs of the other. The first one goes on."""
    cluster.add("a", cluster.marked())
    cluster.leader()
    (cluster.base / "other").mkdir()
    second = Service(cluster.base / "other", *cluster.services["a"].options)
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert f"another service is node `a` of the cluster: process {cluster.services['a'].process.pid}" in second.stderr()
    assert "--node NAME" in second.stderr()
    cluster.run_in_term(cluster.leader()[1])


def test_a_service_whose_database_is_away_stands_by_and_leads_when_it_is_there(tmp_path: Path) -> None:
    """It says so, and serves its clients. No job runs on its own: another service might run the same slots."""
    url = f"sqlite:///{tmp_path}/cluster.db"
    with nodes(url, tmp_path, with_tables=False) as cluster:
        service = cluster.add("a", cluster.marked())
        (told,) = service.wait_for("cluster.unavailable")
        assert (told["level"], told["help"]) == ("WARNING", "`jobscheduler db init` makes it")
        assert service.words("service.started")
        assert service.words("run.started") == []
        make_tables(Database(url))
        service.wait_for("cluster.restored")
        cluster.run_in_term(cluster.leader()[1])
        cluster.end()
        cluster.check()


def test_a_service_on_its_own_imports_nothing_of_a_cluster(tmp_path: Path) -> None:
    """Neither the package nor its library; with a URL of a cluster it does."""
    for options, is_there in ((), False), (("--cluster-url", f"sqlite:///{tmp_path}/none.db"), True):
        folder = tmp_path / f"{is_there}"
        folder.mkdir()
        service = Service(folder, *options)
        service.forks = False  # for an interpreter that tells what it imports
        service.program = [sys.executable, "-X", "importtime", MAIN]
        service.start().stop()
        modules = {line.rsplit("|", 1)[-1].strip() for line in service.stderr().splitlines()}
        assert "jobscheduler.service.main" in modules
        assert ("sqlalchemy" in modules, "jobscheduler.cluster.node" in modules) == (is_there, is_there)


def test_a_cluster_that_cannot_be_used_refuses_the_start(tmp_path: Path) -> None:
    """Unlike other extras: on its own the service might run slots that another one runs."""
    service = Service(tmp_path, "--cluster-url", "nosuch://host/db")
    service.start(wait=False)
    assert service.process is not None
    assert service.process.wait(20) == 1
    assert "nosuch" in service.stderr()
    missing = Service(tmp_path, "--cluster-url-file", "/nowhere").patched(
        "from jobscheduler.database import setup; setup.is_installed = lambda: False"
    )
    missing.start(wait=False)
    assert missing.process is not None
    assert missing.process.wait(20) == 1
    assert "`--cluster-url-file` needs the extra `cluster`" in missing.stderr()
