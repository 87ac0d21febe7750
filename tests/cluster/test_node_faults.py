"""The real service as nodes of a cluster, amid whose steps a server or a leader dies, or whose link or clock fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.cluster.test_clocks_on_servers import faketime
from tests.support.cluster_servers import KINDS, Server, running
from tests.support.databases import PASSWORD
from tests.support.databases import running as mariadb
from tests.support.network_namespace import network_namespace
from tests.support.node_services import LEASE_S, LOST_AFTER_S, STOPS_AMID, Nodes, nodes
from tests.support.service import job, wait_until

GRACE_S = 4.0
"""How much longer than its lease a leader may be missed."""


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each kind for all tests of this file."""
    with running(request.param) as made:
        yield made


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Iterator[Nodes]:
    """A database with the tables."""
    with nodes(server.fresh(), tmp_path) as made:
        yield made


def start_both(cluster: Nodes, *further: dict[str, object]) -> None:
    """Start two nodes that can be stopped amid a step."""
    for name in ("a", "b"):
        cluster.add(name, cluster.marked(), *further, code=STOPS_AMID.format(base=str(cluster.base)))


def test_a_database_that_is_killed_amid_a_claim_a_renewal_or_a_result(cluster: Nodes, server: Server) -> None:
    """The statement was done and its answer is lost. No slot is lost by that, and none runs twice."""
    start_both(cluster)
    for step in ("claim", "renewal", "result"):
        _, term = cluster.leader()
        cluster.run_in_term(term)
        cluster.stop_amid(step)
        server.stop()
        time.sleep(1.5 * LEASE_S)
        server.start()
        _, later = cluster.leader(other_than=term)
        cluster.run_in_term(later)
    cluster.end()
    cluster.check()
    assert {row.reason for row in cluster.rows() if row.status != "SUCCESS"} <= {"down", "overlap"}


def test_a_leader_that_dies_after_it_has_claimed_a_slot(cluster: Nodes) -> None:
    """The next one finds the row queued, and runs it."""
    at = (datetime.now(UTC) + timedelta(seconds=6)).replace(microsecond=0)
    once = job("once", at.isoformat(), f"echo $JOB_SCHEDULED_TIME >> {cluster.marks}", catch_up="1m")
    for name in ("a", "b"):
        cluster.add(name, once, code=STOPS_AMID.format(base=str(cluster.base)))
    name, term = cluster.leader()
    cluster.stop_amid("claim")
    assert [(row.first, row.state, row.term) for row in cluster.rows("once")] == [(at, "queued", term)]
    cluster.signal(name, signal.SIGKILL)
    other, later = cluster.leader(other_than=term)
    cluster.services[other].wait_for("SUCCESS", job_id="once")
    wait_until(lambda: [row.state for row in cluster.rows("once")] == ["final"])
    (run,) = cluster.rows("once")
    assert (other != name, run.node, run.status, run.term) == (True, other, "SUCCESS", later)
    assert len(cluster.marks.read_text().splitlines()) == 1


def test_the_runs_of_a_leader_that_does_not_come_back_are_judged(cluster: Nodes, tmp_path: Path) -> None:
    """After the time in which a silent node is lost, by the next leader, which has the record in its log."""
    long = job("long", "* * * * *", f"echo $$ > {tmp_path}/pid; exec sleep 60", enabled=False)
    for name in ("a", "b"):
        cluster.add(name, cluster.marked(), long)
    name, term = cluster.leader()
    cluster.run_by_hand(name, "long")
    pid = int(wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    cluster.signal(name, signal.SIGKILL)
    died_at = datetime.now(UTC)
    other, _ = cluster.leader(other_than=term)
    (told,) = cluster.services[other].wait_for("FAILURE", job_id="long")
    os.kill(pid, signal.SIGKILL)
    assert (told["reason"], told["node"]) == ("worker_lost", name)
    assert datetime.fromisoformat(told["time"]) - died_at >= timedelta(seconds=LOST_AFTER_S / 2)
    cluster.end()
    cluster.check()


def test_a_leader_that_is_cut_off_is_replaced_and_begins_nothing_when_it_comes_back(tmp_path: Path) -> None:
    """Its link goes down: nothing refuses its connection, and nothing answers."""
    with mariadb("--bind-address=0.0.0.0") as server, network_namespace() as network:
        url = server.fresh()
        server.sql(f"CREATE USER tester@'%' IDENTIFIED BY '{PASSWORD}'", "GRANT ALL ON *.* TO tester@'%'")
        apart = tmp_path / "url-apart"
        apart.touch(mode=0o600)
        apart.write_text(make_url(url).set(host=network.host).render_as_string(hide_password=False))
        with nodes(url, tmp_path) as cluster:
            one = cluster.add("apart", cluster.marked(), more=("--cluster-url-file", str(apart)), prefix=network.prefix)
            name, term = cluster.leader()
            assert name == "apart"
            cluster.add("b", cluster.marked())
            cluster.run_in_term(term)
            network.cut()
            began = time.monotonic()
            name, later = cluster.leader(other_than=term)
            taken = time.monotonic() - began
            assert name == "b"
            assert taken <= LEASE_S + GRACE_S
            cluster.run_in_term(later)
            one.wait_for("cluster.stands_by", reason="unavailable")
            one.wait_for("cluster.unavailable")
            begun = len(one.words("run.started"))
            network.mend()
            one.wait_for("cluster.restored")
            cluster.run_in_term(later, count=6)
            assert len(one.words("run.started")) == begun
            cluster.end()
            cluster.check()


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_node_whose_clock_is_an_hour_off_never_leads(tmp_path: Path, offset: str) -> None:
    """It says so, and stands by also when the leader is gone."""
    with mariadb() as server, nodes(server.fresh(), tmp_path) as cluster:
        off = cluster.add("off", cluster.marked(), prefix=faketime(offset))
        (told,) = off.wait_for("cluster.clock_differs")
        assert abs(abs(float(told["ahead"].rstrip("s"))) - 3600) < 60
        right = cluster.add("right", cluster.marked())
        name, term = cluster.leader()
        assert name == "right"
        cluster.run_in_term(term)
        cluster.signal("right", signal.SIGKILL)
        time.sleep(3 * LEASE_S)
        assert cluster.lease().term.number == term
        right.close()
        right.start()
        cluster.run_in_term(cluster.leader(other_than=term)[1])
        assert off.words("run.started") == []
        cluster.end()
        cluster.check()
