"""On each node of a cluster the verbs say the same, and what they change is done by the leader: two real services."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `cluster` is not installed")

from jobscheduler.cluster.schema import make_tables
from jobscheduler.control.client import request
from jobscheduler.database.engine import Database
from tests.support.alert_host import run_verb
from tests.support.service import Service, job, wait_until

JOBS = {
    "slow": job("slow", "@manual", "echo begins; sleep 60"),
    "quick": job("quick", "@manual", "echo hello"),
    "fails": job("fails", "@manual", "echo why; exit 3"),
    "daily": job("daily", "0 3 * * *", "true"),
    "spread": job("spread", "0 0 1 1 *", "true", jitter="20d"),
}


@dataclass
class Cluster:
    """Two nodes: `a` leads."""

    a: Service
    b: Service
    file: Path

    def said(self, service: Service, *words: str) -> tuple[int, str]:
        """The exit status of a verb, and all that it printed."""
        done = run_verb(service, *words)
        return done.returncode, done.stdout + done.stderr

    def seen(self, service: Service, target: str) -> dict[str, Any]:
        """An answer of a node."""
        return request(service.socket, "GET", target)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both nodes, with the same jobs."""
    base = tmp_path_factory.mktemp("verbs")
    url = f"sqlite:///{base / 'cluster.db'}"
    make_tables(Database(url))
    services = []
    for name in ("a", "b"):
        (base / name).mkdir()
        options = ("--cluster-url", url, "--node", name, "--host-id", name, "--lease", "3s", "--lost-after", "9s")
        service = Service(base / name, *options)
        for job_id, definition in JOBS.items():
            service.write(f"{job_id}.json", definition)
        services.append(service.start())
        wait_until(service.socket.exists)
        if name == "a":
            service.wait_for("cluster.leads")
    yield Cluster(*services, base / "cluster.db")
    for service in services[::-1]:
        service.stop(signal.SIGTERM)


def test_a_run_asked_for_on_a_node_that_stands_by_is_made_by_the_leader(cluster: Cluster) -> None:
    """Within about a second, for the user and the node; its result is waited for there."""
    begun = time.monotonic()
    status, said = cluster.said(cluster.b, "run", "quick")
    assert (status, said.startswith("run ")) == (0, True)
    assert time.monotonic() - begun < 3  # a second, and the start of a verb on a busy host
    (record,) = cluster.a.wait_for("SUCCESS", job_id="quick")
    assert record["by"].endswith("@b")
    status, said = cluster.said(cluster.b, "run", "fails", "--wait")
    assert status == 1
    assert said.startswith("why\n")
    assert "it ran on node a, which has all of its output" in said
    assert "FAILURE after" in said
    assert cluster.b.words("run.started") == []


def test_both_nodes_refuse_in_the_same_words(cluster: Cluster) -> None:
    """Also what only the leader can know."""
    for words in (("run", "nope"), ("stop", "daily"), ("stop", "nope"), ("resume", "daily"), ("pause", "nope")):
        here, there = (cluster.said(service, *words) for service in (cluster.a, cluster.b))
        assert here == there


def test_a_run_and_its_end_are_seen_and_stopped_on_both_nodes(cluster: Cluster) -> None:
    """`list` names the node that it is on."""
    assert cluster.said(cluster.b, "run", "slow")[0] == 0
    cluster.a.wait_for("run.started", job_id="slow")

    def runs(service: Service) -> list[Any]:
        return [run["run_id"] for run in cluster.seen(service, "/v1/jobs/slow")["active_runs"]]

    (run_id,) = runs(cluster.a)
    wait_until(lambda: runs(cluster.b) == [run_id])
    assert cluster.seen(cluster.b, "/v1/jobs/slow")["active_runs"][0]["node"] == "a"
    status, said = cluster.said(cluster.b, "stop", "slow", "--wait")
    assert (status, "FAILURE after" in said, "reason=stopped" in said) == (0, True, True)

    def last(service: Service) -> Any:
        return (cluster.seen(service, "/v1/jobs/slow")["last"] or {}).get("run_id")

    wait_until(lambda: last(cluster.a) == last(cluster.b) == run_id)
    status, said = cluster.said(cluster.b, "output", "slow")
    assert (status, "begins" in said, "it ran on node a" in said) == (0, True, True)


def test_a_pause_is_in_force_on_both_nodes(cluster: Cluster) -> None:
    """With its end, its reason, and who asked for it where."""
    assert cluster.said(cluster.b, "pause", "daily", "--for", "2h", "--reason", "a move")[0] == 0

    def pauses(service: Service) -> list[Any]:
        return [(one["jobs"], one["reason"], one["by"]) for one in cluster.seen(service, "/v1/status")["pauses"]]

    assert [pause[:2] for pause in pauses(cluster.a)] == [("daily", "a move")]
    wait_until(lambda: pauses(cluster.b) == pauses(cluster.a))
    states = [cluster.seen(service, "/v1/jobs/daily")["state"] for service in (cluster.a, cluster.b)]
    assert states == ["paused", "paused"]
    assert cluster.said(cluster.b, "resume", "daily")[0] == 0
    assert pauses(cluster.a) == []
    wait_until(lambda: pauses(cluster.b) == [])


def test_a_slot_with_jitter_starts_at_the_same_moment_on_both_nodes(cluster: Cluster) -> None:
    """By all verbs, and though each host has a jitter of its own."""
    starts = [cluster.seen(service, "/v1/jobs/spread")["next_start"] for service in (cluster.a, cluster.b)]
    assert starts[0] == starts[1]
    for words in (("next", "-n", "2", "spread", "--json"), ("agenda", "--to", "400d", "spread", "--json")):
        here, there = (cluster.said(service, *words) for service in (cluster.a, cluster.b))
        assert here == there
        assert here[0] == 0
        assert starts[0] in here[1]


def test_history_has_the_records_of_all_nodes(cluster: Cluster) -> None:
    """As lines of the log; with `--log-file` it is the log of the host."""
    here, there = (
        [
            {key: record.get(key) for key in ("job_id", "run_id", "status", "reason", "node", "output")}
            for record in map(json.loads, cluster.said(service, "history", "--json")[1].splitlines())
        ]
        for service in (cluster.a, cluster.b)
    )
    assert here == there != []
    status, said = cluster.said(cluster.b, "history", "--log-file", str(cluster.b.log))
    assert (status, "no such records" in said) == (0, True)


def test_each_node_says_what_it_does_and_who_leads(cluster: Cluster) -> None:
    """In the status, and with the verb for it."""
    assert "the service is well, leads, 5 jobs" in cluster.said(cluster.a, "status")[1]
    assert "the service is well, stands by for a, 5 jobs" in cluster.said(cluster.b, "status")[1]

    def names() -> list[str]:
        return [node["node"] for node in cluster.seen(cluster.a, "/v1/cluster")["cluster"]["nodes"]]

    wait_until(lambda: names() == ["a", "b"])
    status, said = cluster.said(cluster.b, "cluster")
    assert (status, said.startswith("node a leads (term 1); node b, which was asked, stands by")) == (0, True)


def test_a_slot_that_another_node_has_run_is_explained(cluster: Cluster) -> None:
    """By the records of all nodes, where the log of the host has none."""
    cluster.a.write("often.json", job("often", "* * * * * *", "true"))
    cluster.b.write("often.json", job("often", "* * * * * *", "true"))
    slot = cluster.a.wait_for("SUCCESS", job_id="often")[0]["scheduled"]
    for service in (cluster.a, cluster.b):
        status, said = cluster.said(service, "explain", "often", "--at", slot)
        assert (status, "ran and succeeded" in said) == (0, True)
        (service.jobs / "often.json").unlink()


def test_a_request_that_waits_for_the_database_delays_no_other(cluster: Cluster) -> None:
    """Other verbs answer meanwhile, and it is done when the database takes it."""
    lock = sqlite3.connect(cluster.file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as pool:
        try:
            waiting = pool.submit(cluster.said, cluster.b, "run", "quick")
            begun = time.monotonic()
            while time.monotonic() - begun < 1:
                for target in ("/v1/status", "/v1/jobs", "/v1/cluster"):
                    cluster.seen(cluster.b, target)
            assert time.monotonic() - begun < 4  # most of it is left to a busy host
            assert not waiting.done()
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        assert waiting.result()[0] == 0
